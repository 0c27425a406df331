import type { Digest } from "./digest.ts";

/** The facts of a blob. */
export interface BlobStat {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** When the blob was committed, as far as the store knows. */
  readonly modified: Date;
  /** See {@link BlobIdentity}. Listings may leave it out. */
  readonly identity?: BlobIdentity;
}

/**
 * What tells one copy of a blob's bytes from another without reading them: it changes when the
 * stored bytes are replaced or written to, as far as the store can see (device, inode, size and
 * times of a file; version or entity tag and time of an object). Bytes that decay on their own
 * keep their identity. Opaque: only compared. At most 200 characters.
 */
export type BlobIdentity = string;
