import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { BlobStore } from "./core/store.ts";
import { resolveS3Options, type S3StoreOptions } from "./stores/s3/options.ts";
import { S3Store } from "./stores/s3/s3-store.ts";

export type { Log, S3StoreOptions, S3Timeouts } from "./stores/s3/options.ts";

/**
 * A store that keeps blobs as objects in a bucket of any S3-compatible service. It sends no request
 * before its first use; `check` reports whether the bucket can be used.
 *
 * @throws FixityError `invalid-option`
 */
export function s3Store(options: S3StoreOptions): BlobStore {
  return new S3Store(resolveS3Options(options));
}
