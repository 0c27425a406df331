/**
 * A process with an S3 store that does one job and prints its result as JSON:
 * `node kill-child.ts <job as JSON>`. kill.ts kills it at a chosen moment.
 */
import { writeSync } from "node:fs";
import { resolveS3Options, type S3StoreOptions } from "../../src/stores/s3/options.ts";
import { S3Store } from "../../src/stores/s3/s3-store.ts";
import { digestOf, writeAll } from "../../src/stores/contract/tools.ts";
import { Random } from "../helpers/random.ts";
import type { InnerOptions } from "./place.ts";

/** The job of the process. */
export interface Job {
  readonly options: S3StoreOptions;
  readonly inner: InnerOptions;
  /** The bytes to upload. Without it, the process collects garbage. */
  readonly upload?: { readonly size: number; readonly seed: number; readonly isAnnounced: boolean };
}

const { options, inner, upload } = JSON.parse(process.argv[2] ?? "") as Job;
await using store = new S3Store({ ...resolveS3Options(options), ...inner });

async function run(): Promise<unknown> {
  if (upload === undefined) return store.collect();
  const bytes = new Random(upload.seed).bytes(upload.size);
  const digest = digestOf(bytes);
  await using staged = await store.stage(upload.isAnnounced ? { digest, length: bytes.length } : {});
  await writeAll(staged, bytes);
  return staged.commit(digest);
}

writeSync(1, `${JSON.stringify(await run())}\n`);
