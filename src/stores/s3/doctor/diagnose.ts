import { cleanupFinding, type Leftovers } from "../../doctor/examine.ts";
import { examine } from "../../doctor/examine.ts";
import type { DiagnoseOptions, Finding } from "../../doctor/finding.ts";
import type { ResolvedS3Options } from "../options.ts";
import { Bench } from "./bench.ts";
import { CONDITION_PROBES } from "./condition-probes.ts";
import { CONNECTION_PROBES } from "./connection-probes.ts";
import { COPY_PROBES } from "./copy-probes.ts";
import { DOWNLOAD_PROBES } from "./download-probes.ts";
import { LISTING_PROBES } from "./listing-probes.ts";
import { MULTIPART_PROBES } from "./multipart-probes.ts";
import { OBJECT_PROBES } from "./object-probes.ts";
import { explain } from "./permissions.ts";
import type { BucketProbe } from "./probe.ts";

/** All probes of a bucket, in their order. */
const PROBES: readonly BucketProbe[] = [
  ...CONNECTION_PROBES,
  ...OBJECT_PROBES,
  ...LISTING_PROBES,
  ...CONDITION_PROBES,
  ...MULTIPART_PROBES,
  ...COPY_PROBES,
  ...DOWNLOAD_PROBES,
];

/** Tries out what the store needs of a bucket, on a bench that is cleared in the end. */
export async function* diagnoseBucket(
  options: ResolvedS3Options,
  diagnosis: DiagnoseOptions,
): AsyncGenerator<Finding, void, undefined> {
  const bench = new Bench(options, diagnosis.signal);
  let remains: Leftovers | null;
  try {
    yield* examine(PROBES, { ...diagnosis, context: bench, explain: (error) => explain(error, bench) });
  } finally {
    remains = await bench.clear();
  }
  if (remains !== null) yield cleanupFinding(remains);
}
