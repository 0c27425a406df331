import { detachedString } from "../../base/detached-string.ts";
import type { BlobIdentity } from "../blob-stat.ts";
import type { Digest } from "../digest.ts";

/** Bytes decay without changing a blob's identity, so a verification is repeated after a day. */
const VERIFICATION_MAX_AGE_MS = 24 * 3_600_000;

/** Entries that are kept; one takes about 300 bytes. */
const MAX_ENTRIES = 50_000;

/** One verified copy. */
interface Entry {
  readonly identity: BlobIdentity | undefined;
  /** By `performance.now()`. */
  readonly verifiedAt: number;
}

/**
 * The blobs whose stored bytes this process has hashed lately and found right. Bounded: the entries
 * that were verified longest ago make room, and their blobs are verified again when they are read.
 */
export class VerifiedBlobs {
  /** By digest in hex, oldest verification first. */
  readonly #entries = new Map<string, Entry>();

  /** Whether the copy with this identity was verified within a day. */
  has(digest: Digest, identity: BlobIdentity | undefined): boolean {
    const entry = this.#entries.get(digest.hex);
    if (entry === undefined || entry.identity !== identity) return false;
    return performance.now() - entry.verifiedAt < VERIFICATION_MAX_AGE_MS;
  }

  /**
   * @param verifiedAt when the bytes were hashed, by `performance.now()`. A time before the known one
   *   changes nothing
   */
  add(digest: Digest, identity: BlobIdentity | undefined, verifiedAt: number = performance.now()): void {
    const known = this.#entries.get(digest.hex);
    if (known !== undefined && known.identity === identity && known.verifiedAt >= verifiedAt) return;
    this.#entries.delete(digest.hex);
    // The hex digits may be a part of a request's target, which can be long.
    this.#entries.set(detachedString(digest.hex), { identity, verifiedAt });
    if (this.#entries.size <= MAX_ENTRIES) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  forget(digest: Digest): void {
    this.#entries.delete(digest.hex);
  }
}
