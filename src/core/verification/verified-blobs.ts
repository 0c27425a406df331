import { detachedString } from "../../base/detached-string.ts";
import type { BlobIdentity } from "../blob-stat.ts";
import { publishVerification } from "../diagnostics.ts";
import type { Digest } from "../digest.ts";

/**
 * How often the bytes of a stored file are compared with its digest:
 *
 * - `always`: on every read. A range is sent only after the whole file was read.
 * - `daily`: on the first read, and again after a day or when the stored copy was replaced.
 * - `never`: not on reads. Files that were found damaged by other means are still refused.
 */
export type VerifyReads = "always" | "daily" | "never";

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

/** A verification that processes of one server tell each other. */
export interface SharedVerification {
  /** The digest in hex. */
  readonly hex: string;
  readonly identity: BlobIdentity | undefined;
  /** Milliseconds since the bytes were hashed. */
  readonly ageMs: number;
}

/** Receives what this process learns by itself, to tell the other processes of the server. */
export interface VerificationListener {
  onVerified(verification: SharedVerification): void;
  /** A read differed: no process may rely on the verification any more. */
  onForgotten(hex: string): void;
}

/**
 * The blobs whose stored bytes this process, or another one of its server, has hashed lately and
 * found right. Bounded: the entries that were verified longest ago make room, and their blobs are
 * verified again when they are read.
 */
export class VerifiedBlobs {
  /** By digest in hex, oldest verification first. */
  readonly #entries = new Map<string, Entry>();
  readonly #listener: VerificationListener | null;

  constructor(listener: VerificationListener | null = null) {
    this.#listener = listener;
  }

  /** Whether the copy with this identity was verified within a day. */
  has(digest: Digest, identity: BlobIdentity | undefined): boolean {
    const entry = this.#entries.get(digest.hex);
    if (entry === undefined || entry.identity !== identity) return false;
    return performance.now() - entry.verifiedAt < VERIFICATION_MAX_AGE_MS;
  }

  /**
   * @param hashedAt when the bytes were hashed, by `performance.now()`. A time before the known one
   *   changes nothing
   */
  add(digest: Digest, identity: BlobIdentity | undefined, hashedAt?: number): void {
    // A time comes from the cache, which has hashed the bytes and reported it.
    if (hashedAt === undefined) publishVerification(digest, "intact");
    const verifiedAt = hashedAt ?? performance.now();
    const { hex } = digest;
    if (!this.#set(hex, { identity, verifiedAt })) return;
    this.#listener?.onVerified({ hex, identity, ageMs: performance.now() - verifiedAt });
  }

  /** A read differed. */
  forget(digest: Digest): void {
    publishVerification(digest, "different");
    const { hex } = digest;
    if (this.#entries.delete(hex)) this.#listener?.onForgotten(hex);
  }

  /** Adds what another process has verified. */
  learn({ hex, identity, ageMs }: SharedVerification): void {
    this.#set(hex, { identity, verifiedAt: performance.now() - ageMs });
  }

  /** Forgets what another process has found to be different. */
  unlearn(hex: string): void {
    this.#entries.delete(hex);
  }

  /** All entries, for another process: oldest verification first. */
  *[Symbol.iterator](): Generator<SharedVerification, void, undefined> {
    const now = performance.now();
    for (const [hex, { identity, verifiedAt }] of this.#entries) yield { hex, identity, ageMs: now - verifiedAt };
  }

  /** @returns `false` if a verification of this copy is known that is as recent */
  #set(hex: string, entry: Entry): boolean {
    const known = this.#entries.get(hex);
    if (known !== undefined && known.identity === entry.identity && known.verifiedAt >= entry.verifiedAt) return false;
    this.#entries.delete(hex);
    // The hex digits may be a part of a request's target, which can be long.
    this.#entries.set(detachedString(hex), entry);
    if (this.#entries.size <= MAX_ENTRIES) return true;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
    return true;
  }
}
