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
 * so that a client can never take a damaged blob for complete. One chunk is read ahead, which makes
 * up for most of the time that hashing takes.
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
      for await (const chunk of readAhead(this.#reader)) {
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

  recycle(chunk: Uint8Array): void {
    this.#reader.recycle?.(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}

/** Yields the chunks of a reader, and reads the next one while its consumer works on the last. */
async function* readAhead(reader: BlobReader): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = reader[Symbol.asyncIterator]();
  const pull = (): Promise<IteratorResult<Uint8Array>> => {
    const next = chunks.next();
    // A failure is thrown when it is this chunk's turn, unless the consumer has left by then.
    next.catch(() => null);
    return next;
  };
  try {
    let next = pull();
    for (;;) {
      const { done, value } = await next;
      if (done === true) return;
      next = pull();
      yield value;
    }
  } finally {
    await chunks.return?.();
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
