import { FixityError } from "../../../core/errors.ts";
import { cleanupFinding, examine, type Explanation, type Leftovers } from "../../doctor/examine.ts";
import type { DiagnoseOptions, Finding } from "../../doctor/finding.ts";
import { toFixityError } from "../file-system.ts";
import type { ResolvedDiskOptions } from "../options.ts";
import { Bench } from "./bench.ts";
import { PROBES } from "./probes.ts";

/** Probes what the store needs, in a folder of its own that is removed at the end. */
export async function* diagnoseFolder(
  options: ResolvedDiskOptions,
  diagnosis: DiagnoseOptions,
): AsyncGenerator<Finding, void, undefined> {
  const bench = new Bench(options);
  let leftovers: Leftovers | null;
  try {
    yield* examine(PROBES, { ...diagnosis, context: bench, explain });
  } finally {
    leftovers = await bench.clear();
  }
  if (leftovers !== null) yield cleanupFinding(leftovers);
}

/** What a failed system call means to the operator, with the system's own code. */
function explain(error: unknown): Explanation {
  const fault = toFixityError(error);
  if (!(fault instanceof FixityError)) throw error;
  const { code } = (fault.cause ?? {}) as NodeJS.ErrnoException;
  const found = code === undefined ? fault.message : fault.message.replace(/\.$/, ` (${code}).`);
  return { found, permission: null };
}
