import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { BlobStore } from "./core/store.ts";
import { DiskStore } from "./stores/disk/disk-store.ts";
import { type DiskStoreOptions, resolveDiskOptions } from "./stores/disk/options.ts";

export type { DiskStoreOptions, DurabilityLevel, Log } from "./stores/disk/options.ts";

/**
 * A store that keeps blobs as files in a folder. Nothing is touched before the first use; `check`
 * finds out whether the folder is usable.
 *
 * @throws FixityError `invalid-option`
 */
export function diskStore(options: DiskStoreOptions): BlobStore {
  return new DiskStore(resolveDiskOptions(options));
}
