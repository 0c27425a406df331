import type { Digest } from "./digest.ts";
import type { BlobStat } from "./blob-stat.ts";
import type { BlobStore } from "./store.ts";

/**
 * Looks for content that need not be sent because it is stored already; a blob that is returned is
 * durable. `absent` if the store has no such blob. `unknown` if the sizes differ, or without a
 * length: a damaged blob of the wrong size would look like the right one.
 */
export async function findStored(
  blobs: BlobStore,
  digest: Digest,
  { length, signal }: { readonly length?: number | undefined; readonly signal?: AbortSignal | undefined },
): Promise<BlobStat | "absent" | "unknown"> {
  if (length === undefined) return "unknown";
  const stat = await blobs.confirm(digest, signal);
  if (stat === null) return "absent";
  return stat.size === length ? stat : "unknown";
}
