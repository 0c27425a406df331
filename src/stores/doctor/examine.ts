import type { DiagnoseOptions, Finding } from "./finding.ts";
import { fails, type Outcome, type Probe, untried } from "./probe.ts";

/** What is known of a failure: a sentence about it, and the permission that it is for want of. */
export interface Explanation {
  readonly found: string;
  readonly permission: string | null;
}

/** What an examination needs besides its probes. */
export interface ExamineOptions<Context> extends DiagnoseOptions {
  readonly context: Context;
  /** Says what a thrown error means; rethrows what is no trouble of the store's. */
  readonly explain: (error: unknown) => Explanation;
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
    const finding = await tryOut(probe, { context, explain, signal, held });
    if (finding.verdict === "ok") held.add(probe.id);
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
): Promise<Finding> {
  const { id, group, title, needs = [] } = probe;
  const begun = performance.now();
  let permission: string | null = null;
  let outcome: Outcome;
  const missing = needs.find((need) => !held.has(need));
  try {
    outcome = missing === undefined ? await probe.run(context) : untried(`builds on ${missing}`);
  } catch (error) {
    // what is given up in the middle has shown nothing
    const isStopped = signal?.aborted === true;
    const explanation = isStopped ? { found: "stopped", permission: null } : explain(error);
    permission = explanation.permission;
    outcome = isStopped ? untried(explanation.found) : fails(explanation.found);
  }
  const ms = Math.round(performance.now() - begun);
  return { probe: id, group, title, ...judged(probe, outcome), permission, ms };
}

function judged<Context>(
  { otherwise }: Probe<Context>,
  outcome: Outcome,
): Pick<Finding, "verdict" | "found" | "remedy"> {
  const { found } = outcome;
  if (outcome.kind === "holds") return { verdict: "ok", found, remedy: null };
  if (outcome.kind === "untried") return { verdict: "skipped", found, remedy: null };
  return { found, ...otherwise, ...outcome.consequence };
}
