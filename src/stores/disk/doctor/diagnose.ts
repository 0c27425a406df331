import { FixityError } from "../../../core/errors.ts";
import { cleared, type Remains } from "../../doctor/cleared.ts";
import { examine, type Explanation } from "../../doctor/examine.ts";
import type { DiagnoseOptions, Finding } from "../../doctor/finding.ts";
import { storeFault } from "../faults.ts";
import type { ResolvedDiskOptions } from "../options.ts";
import { Bench } from "./bench.ts";
import { PROBES } from "./probes.ts";

/** Tries out what the store needs of a folder, on a bench that is cleared in the end. */
export async function* diagnoseFolder(
  options: ResolvedDiskOptions,
  diagnosis: DiagnoseOptions,
): AsyncGenerator<Finding, void, undefined> {
  const bench = new Bench(options);
  let remains: Remains | null;
  try {
    yield* examine(PROBES, { ...diagnosis, context: bench, explain });
  } finally {
    remains = await bench.clear();
  }
  if (remains !== null) yield cleared(remains);
}

/** What a failed system call means to the person who set the store up, with the system's own word for it. */
function explain(error: unknown): Explanation {
  const fault = storeFault(error);
  if (!(fault instanceof FixityError)) throw error;
  const { code } = (fault.cause ?? {}) as NodeJS.ErrnoException;
  const found = code === undefined ? fault.message : fault.message.replace(/\.$/, ` (${code}).`);
  return { found, permission: null };
}
