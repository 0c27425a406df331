import type { DiagnoseOptions, Finding } from "./finding.ts";
import { fails, type Outcome, type Probe, untried } from "./probe.ts";

/** What is known of a failure. */
export interface Explanation {
  /** A sentence about it. */
  readonly found: string;
  /** The permission that is missing. */
  readonly permission: string | null;
  /** What to do about it, where that is known better than by the probe. */
  readonly remedy?: string;
}

/** What an examination needs besides its probes. */
export interface ExamineOptions<Context> extends DiagnoseOptions {
  readonly context: Context;
  /** Says what a thrown error means, and may ask the store for it; rethrows errors that the store has not caused. */
  readonly explain: (error: unknown) => Explanation | Promise<Explanation>;
}

/** Makes the probes of a table in its order, up to a gate that is closed or an aborted signal. */
export async function* examine<Context>(
  probes: readonly Probe<Context>[],
  { context, explain, signal, onBegin }: ExamineOptions<Context>,
): AsyncGenerator<Finding, void, undefined> {
  const held = new Set<string>();
  for (const probe of probes) {
    if (signal?.aborted === true) return;
    onBegin?.(probe.title);
    const { finding, isHeld } = await tryOut(probe, { context, explain, signal, held });
    if (isHeld) held.add(probe.id);
    yield finding;
    if (probe.isGate === true && finding.verdict === "failure") return;
  }
}

interface Trial<Context> extends Pick<ExamineOptions<Context>, "context" | "explain" | "signal"> {
  readonly held: ReadonlySet<string>;
}

async function tryOut<Context>(
  probe: Probe<Context>,
  { context, explain, signal, held }: Trial<Context>,
): Promise<{ readonly finding: Finding; readonly isHeld: boolean }> {
  const { id, group, title, needs = [] } = probe;
  const begun = performance.now();
  let permission: string | null = null;
  let outcome: Outcome;
  const missing = needs.find((need) => !held.has(need));
  try {
    outcome = missing === undefined ? await probe.run(context) : untried(`builds on ${missing}`);
  } catch (error) {
    // A probe that was broken off has shown nothing.
    if (signal?.aborted === true) outcome = untried("stopped");
    else {
      const explanation = await explain(error);
      const { found, remedy } = explanation;
      permission = explanation.permission;
      outcome = fails(found, remedy === undefined ? {} : { remedy });
    }
  }
  const ms = Math.round(performance.now() - begun);
  const finding = { probe: id, group, title, ...judged(probe, outcome, context), permission, ms };
  return { finding, isHeld: outcome.kind === "holds" || outcome.kind === "restricted" };
}

function judged<Context>(
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
