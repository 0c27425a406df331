/**
 * How a probe went:
 *
 * - `ok`: what its title says holds;
 * - `note`: it does not hold, or only in a certain way, and fixity does as well;
 * - `warning`: it does not hold, or late, and something is dearer, slower or left undone for it;
 * - `failure`: it does not hold, and fixity cannot be used;
 * - `skipped`: it could not be tried, for want of something that another probe found missing.
 */
export type Verdict = "ok" | "note" | "warning" | "failure" | "skipped";

/** What one probe of a store has found. */
export interface Finding {
  /** Stable name of the probe, for programs: `put-if-absent`. */
  readonly probe: string;
  /** What is probed with it: `Small files`. */
  readonly group: string;
  /** What should hold, as a sentence without its full stop. */
  readonly title: string;
  readonly verdict: Verdict;
  /** What was seen: a fact worth telling where all is well, otherwise what is the matter. */
  readonly found: string | null;
  /** Where it does not hold: what fixity does about it, or what to do. */
  readonly remedy: string | null;
  /** The IAM action that the keys lack. */
  readonly permission: string | null;
  /** Milliseconds that the probe took. */
  readonly ms: number;
}

/** How a store is diagnosed. */
export interface DiagnoseOptions {
  /** Aborted, no other probe is begun; what was made for them is removed all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each probe before it is made. */
  readonly onBegin?: ((title: string) => void) | undefined;
}

/** A store that can be tried out, with small things that are thrown away. */
export interface Diagnosable {
  /** Probes the store, one after another. Trouble is a finding; the last one tells whether anything was left behind. */
  diagnose(options?: DiagnoseOptions): AsyncIterable<Finding>;
}
