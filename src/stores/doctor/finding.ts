/**
 * The result of a probe:
 *
 * - `ok`: what its title states is true;
 * - `note`: it is not true, or only in part, and fixity works as well without it;
 * - `warning`: it is not true, or true late, so something costs more, is slower or is not cleaned
 *   up;
 * - `failure`: it is not true, and fixity cannot use the store;
 * - `skipped`: it could not be tried, usually because another probe failed.
 */
export type Verdict = "ok" | "note" | "warning" | "failure" | "skipped";

/** The finding of one probe of a store. */
export interface Finding {
  /** Stable id of the probe, for programs: `put-if-absent`. */
  readonly probe: string;
  /** What the probe belongs to: `Small files`. */
  readonly group: string;
  /** What should be true, as a sentence without its full stop. */
  readonly title: string;
  readonly verdict: Verdict;
  /** The problem; for `ok`, a fact worth mentioning or `null`. */
  readonly found: string | null;
  /** How fixity deals with the problem, or what to do about it. */
  readonly remedy: string | null;
  /** The IAM action that the credentials lack. */
  readonly permission: string | null;
  /** Milliseconds that the probe took. */
  readonly ms: number;
}

/** How a store is diagnosed. */
export interface DiagnoseOptions {
  /** Once aborted, no further probe begins. What the probes made is removed all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the title of each probe before it begins. */
  readonly onBegin?: ((title: string) => void) | undefined;
}

/** A store that can be probed with small objects, which are removed afterwards. */
export interface Diagnosable {
  /**
   * Runs the probes one after another. Problems are findings; the last finding reports whether
   * anything was left behind.
   */
  diagnose(options?: DiagnoseOptions): AsyncIterable<Finding>;
}
