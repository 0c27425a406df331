import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { BlobStore } from "./core/store.ts";
import { CachedStore } from "./stores/cache/cached-store.ts";
import { type CacheOptions, resolveCacheOptions } from "./stores/cache/options.ts";

export type { CacheOptions } from "./stores/cache/options.ts";

/**
 * A store that keeps small blobs of `store`, up to 256 KiB, in memory, and reads everything else
 * from there. It owns `store`: disposing of the one disposes of the other.
 *
 * @throws FixityError `invalid-option`
 */
export function cachedStore(store: BlobStore, options: CacheOptions = {}): BlobStore {
  return CachedStore.over(store, resolveCacheOptions(options));
}
