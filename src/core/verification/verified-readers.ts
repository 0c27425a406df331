import { createHash } from "node:crypto";
import type { BlobIdentity } from "../blob-stat.ts";
import type { ByteSpan } from "../byte-range.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import type { BlobReader } from "../store.ts";
import { isDamage } from "./whole-reads.ts";

/** Bytes at the end of a blob that are sent only once the digest holds. */
const WITHHELD_BYTES = 64 * 1024;

/** Bytes that a reader from memory yields at a time. */
const CHUNK_BYTES = 64 * 1024;

/** What a verifying read reports. */
export interface ReadOutcome {
  readonly onIntact: () => void;
  /** @returns the error that the reader fails with */
  readonly onMismatch: () => FixityError;
}

/**
 * Reads a whole blob and hashes it on the way. The last bytes are withheld until the digest holds,
 * so that a client can never take a damaged blob for complete.
 */
export class VerifyingReader implements BlobReader {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #reader: BlobReader;
  readonly #digest: Digest;
  readonly #outcome: ReadOutcome;

  constructor(reader: BlobReader, digest: Digest, outcome: ReadOutcome) {
    this.size = reader.size;
    this.span = reader.span;
    if (reader.identity !== undefined) this.identity = reader.identity;
    this.#reader = reader;
    this.#digest = digest;
    this.#outcome = outcome;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash("sha256");
    const withheld: Uint8Array[] = [];
    let releasable = Math.max(0, this.size - WITHHELD_BYTES);
    try {
      for await (const chunk of this.#reader) {
        hash.update(chunk);
        const released = Math.min(releasable, chunk.length);
        releasable -= released;
        if (released < chunk.length) withheld.push(chunk.subarray(released));
        if (released > 0) yield released === chunk.length ? chunk : chunk.subarray(0, released);
      }
    } catch (error) {
      throw isDamage(error) ? this.#outcome.onMismatch() : error;
    }
    if (hash.digest("hex") !== this.#digest.hex) throw this.#outcome.onMismatch();
    this.#outcome.onIntact();
    yield* withheld;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}

/** Some or all bytes of a small blob that was verified as a whole. */
export class VerifiedReader implements BlobReader {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly verifiedBytes: Uint8Array;
  #isClosed = false;

  constructor(bytes: Uint8Array, span: ByteSpan, identity: BlobIdentity | undefined) {
    this.size = bytes.length;
    this.span = span;
    if (identity !== undefined) this.identity = identity;
    this.verifiedBytes = bytes.subarray(span.start, span.end);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const bytes = this.verifiedBytes;
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
      if (this.#isClosed) throw new FixityError("store-unavailable", "The blob was closed before its end.");
      // A copy: the receiver may write to it.
      yield Uint8Array.prototype.slice.call(bytes, start, start + CHUNK_BYTES);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
  }
}
