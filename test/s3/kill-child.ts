/**
 * A process with an S3 store that does one thing and says so: `node kill-child.ts <job as JSON>`. It is killed at a moment
 * of the other's choosing; see kill.ts.
 */
import { writeSync } from "node:fs";
import { resolveS3Options, type S3StoreOptions } from "../../src/stores/s3/options.ts";
import { S3Store } from "../../src/stores/s3/s3-store.ts";
import { digestOf, writeAll } from "../../src/stores/contract/tools.ts";
import { Random } from "../helpers/random.ts";
import type { InnerOptions } from "./place.ts";

/** What the process is to do. */
export interface Job {
  readonly options: S3StoreOptions;
  readonly inner: InnerOptions;
  /** Uploads these bytes; without it, a collection. */
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
