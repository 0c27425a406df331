/**
 * The doctor's engine, for all stores. A store has a table of probes. {@link examine} runs them in
 * order on a context, in which probes keep what later ones need, and turns each outcome into a
 * finding. The store then removes what the probes created and reports that with
 * {@link cleanupFinding}.
 */
import type { DiagnoseOptions, Finding, Verdict } from "./finding.ts";

/** One property that a store should have, and how to test it. */
export interface Probe<Context> {
  /** Stable. */
  readonly id: string;
  readonly group: string;
  /** What should be true. */
  readonly title: string;
  /** Probes that must have succeeded, because this one builds on what they made or found. */
  readonly needs?: readonly string[];
  /** If it fails, no further probe is run. */
  readonly isGate?: boolean;
  /** What a failure means, unless the outcome states it. A function if that depends on settings. */
  readonly otherwise: Consequence | ((context: Context) => Consequence);
  /** What it throws counts as a failure. */
  readonly run: (context: Context) => Promise<Outcome>;
}

/** What follows from a property that a store lacks. */
export interface Consequence {
  readonly verdict: Exclude<Verdict, "ok" | "skipped">;
  readonly remedy: string;
}

/** The outcome of a probe. */
export type Outcome =
  | { readonly kind: "holds"; readonly found: string | null }
  | { readonly kind: "fails"; readonly found: string; readonly consequence: Partial<Consequence> }
  | { readonly kind: "restricted"; readonly found: string; readonly consequence: Consequence }
  | { readonly kind: "untried"; readonly found: string };

/** The property holds. */
export function holds(found: string | null = null): Outcome {
  return { kind: "holds", found };
}

/** It does not hold. `consequence` overrides the probe's `otherwise`. */
export function fails(found: string, consequence: Partial<Consequence> = {}): Outcome {
  return { kind: "fails", found, consequence };
}

/** It holds with a restriction that has consequences. Probes that need it are run. */
export function restricted(found: string, consequence: Consequence): Outcome {
  return { kind: "restricted", found, consequence };
}

/** It could not be tested. */
export function untried(found: string): Outcome {
  return { kind: "untried", found };
}

/** What an error means. */
export interface Explanation {
  /** A sentence about it. */
  readonly found: string;
  /** The permission that is missing. */
  readonly permission: string | null;
  /** What to do, if the error shows it better than the probe's own remedy. */
  readonly remedy?: string;
}

/** What an examination needs besides its probes. */
export interface ExamineOptions<Context> extends DiagnoseOptions {
  readonly context: Context;
  /**
   * Explains what a probe threw, with requests to the store if necessary. Rethrows errors that the
   * store did not cause.
   */
  readonly explain: (error: unknown) => Explanation | Promise<Explanation>;
}

/** Runs the probes in their order, until a gate fails or the signal is aborted. */
export async function* examine<Context>(
  probes: readonly Probe<Context>[],
  { context, explain, signal, onBegin }: ExamineOptions<Context>,
): AsyncGenerator<Finding, void, undefined> {
  const held = new Set<string>();
  for (const probe of probes) {
    if (signal?.aborted === true) return;
    const { id, group, title, needs = [] } = probe;
    onBegin?.(title);
    const startedAt = performance.now();
    const missing = needs.find((need) => !held.has(need));
    const { outcome, permission } =
      missing === undefined
        ? await runProbe(probe, { context, explain, signal })
        : { outcome: untried(`builds on ${missing}`), permission: null };
    if (outcome.kind === "holds" || outcome.kind === "restricted") held.add(id);
    const ms = Math.round(performance.now() - startedAt);
    const finding = { probe: id, group, title, ...judge(probe, outcome, context), permission, ms };
    yield finding;
    if (probe.isGate === true && finding.verdict === "failure") return;
  }
}

async function runProbe<Context>(
  probe: Probe<Context>,
  { context, explain, signal }: Pick<ExamineOptions<Context>, "context" | "explain" | "signal">,
): Promise<{ readonly outcome: Outcome; readonly permission: string | null }> {
  try {
    return { outcome: await probe.run(context), permission: null };
  } catch (error) {
    // An interrupted probe proves nothing.
    if (signal?.aborted === true) return { outcome: untried("stopped"), permission: null };
    const { found, permission, remedy } = await explain(error);
    return { outcome: fails(found, remedy === undefined ? {} : { remedy }), permission };
  }
}

function judge<Context>(
  { otherwise }: Probe<Context>,
  outcome: Outcome,
  context: Context,
): Pick<Finding, "verdict" | "found" | "remedy"> {
  const { found } = outcome;
  if (outcome.kind === "holds") return { verdict: "ok", found, remedy: null };
  if (outcome.kind === "untried") return { verdict: "skipped", found, remedy: null };
  if (outcome.kind === "restricted") return { found, ...outcome.consequence };
  return { found, ...(typeof otherwise === "function" ? otherwise(context) : otherwise), ...outcome.consequence };
}

/** What a diagnosis left behind. */
export interface Leftovers {
  /** Names of what could not be removed. */
  readonly names: readonly string[];
  /** How much of an earlier, interrupted diagnosis was removed as well. */
  readonly swept: number;
}

/** The last finding of every diagnosis. */
export function cleanupFinding({ names, swept }: Leftovers): Finding {
  const common = {
    probe: "clear",
    group: "Afterwards",
    title: "Nothing of the probes is left behind",
    permission: null,
    ms: 0,
  };
  if (names.length > 0) {
    return {
      ...common,
      verdict: "warning",
      found: `Could not be removed: ${names.join(", ")}.`,
      remedy: "Nothing of it can be read through fixity. Remove it by hand, or run this again in an hour.",
    };
  }
  const items = swept === 1 ? "1 item of an earlier diagnosis was" : `${swept} items of an earlier diagnosis were`;
  return { ...common, verdict: "ok", found: swept === 0 ? null : `${items} removed, too`, remedy: null };
}
