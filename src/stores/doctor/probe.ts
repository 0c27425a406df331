import type { Verdict } from "./finding.ts";

/** One thing that a store should do, and how to find out whether it does. */
export interface Probe<Context> {
  /** Stable name. */
  readonly id: string;
  readonly group: string;
  /** What should hold. */
  readonly title: string;
  /** Probes that must have gone well before, because this one builds on what they made or found. */
  readonly needs?: readonly string[];
  /** Nothing else need be tried where this does not hold. */
  readonly isGate?: boolean;
  /** What it means where it does not hold, unless the outcome says otherwise. A function where that depends on settings. */
  readonly otherwise: Consequence | ((context: Context) => Consequence);
  /** Tries it. What it throws counts as not holding. */
  readonly run: (context: Context) => Promise<Outcome>;
}

/** What follows from something that does not hold. */
export interface Consequence {
  readonly verdict: Exclude<Verdict, "ok" | "skipped">;
  readonly remedy: string;
}

/** How a trial went. */
export type Outcome =
  | { readonly kind: "holds"; readonly found: string | null }
  | { readonly kind: "fails"; readonly found: string; readonly consequence: Partial<Consequence> }
  | { readonly kind: "restricted"; readonly found: string; readonly consequence: Consequence }
  | { readonly kind: "untried"; readonly found: string };

/** It holds. */
export function holds(found: string | null = null): Outcome {
  return { kind: "holds", found };
}

/** It does not hold; `consequence` where that means something else than the probe's `otherwise`. */
export function fails(found: string, consequence: Partial<Consequence> = {}): Outcome {
  return { kind: "fails", found, consequence };
}

/** It holds with a restriction that has consequences. Probes that need it are run all the same. */
export function restricted(found: string, consequence: Consequence): Outcome {
  return { kind: "restricted", found, consequence };
}

/** There was no way to tell. */
export function untried(found: string): Outcome {
  return { kind: "untried", found };
}
