import type { Digest } from "../../core/digest.ts";
import type { BlobStat, Committed } from "../../core/store.ts";

/** A blob as it is kept. */
export interface MemoryBlob {
  readonly stat: BlobStat;
  readonly bytes: Uint8Array;
}

/** All blobs of a store, by the hex of their digests. */
export type MemoryBlobs = Map<string, MemoryBlob>;

/** Makes a blob of the chunks, unless it is there whole. */
export function keepBlob(blobs: MemoryBlobs, digest: Digest, chunks: readonly Uint8Array[]): Committed {
  const bytes = Buffer.concat(chunks);
  const existed = blobs.get(digest.hex)?.bytes.length === bytes.length;
  if (!existed) blobs.set(digest.hex, { bytes, stat: { digest, size: bytes.length, modified: new Date() } });
  return { existed };
}
