import type { Readable } from "node:stream";
import type { ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader } from "../../core/store.ts";
import { storeFault } from "./faults.ts";

/** Failures in a row, without a byte between them, after which a read has failed. */
const MOST_FAILURES = 3;

type Result = IteratorResult<Uint8Array, undefined>;

/** What a reader is made of. */
export interface S3ReaderParts {
  /** The content from `span.start` on, already coming in. The reader's from now on. */
  readonly body: Readable;
  readonly size: number;
  readonly span: ByteSpan;
  /** Opens the blob again, further on. A blob never changes, so a read that broke off can go on where it was. */
  readonly reopen: (span: ByteSpan) => Promise<Readable>;
  /** Ends the read; aborted by {@link S3Reader} itself when it is closed. */
  readonly signal: AbortSignal | undefined;
}

/**
 * A blob being read from S3. Gives exactly the bytes of its span or fails: every byte is counted, and a connection that
 * ends early (a server closes those that stand still, for a slow reader's sake too) is followed by another.
 */
export class S3Reader implements BlobReader, AsyncIterator<Uint8Array, undefined> {
  readonly size: number;
  readonly span: ByteSpan;
  readonly #parts: S3ReaderParts;
  #position: number;
  #body: Readable | null;
  #chunks: AsyncIterator<Uint8Array>;
  #failures = 0;
  readonly #onAbort = () => this.#close();

  constructor(parts: S3ReaderParts) {
    this.size = parts.size;
    this.span = parts.span;
    this.#parts = parts;
    this.#position = parts.span.start;
    this.#body = parts.body;
    this.#chunks = chunksOf(parts.body);
    parts.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this;
  }

  async next(): Promise<Result> {
    this.#parts.signal?.throwIfAborted();
    if (this.#position === this.span.end) return this.return();
    for (;;) {
      if (this.#body === null) throw new FixityError("store-unavailable", "The blob was closed before its end.");
      try {
        return { done: false, value: await this.#pull() };
      } catch (error) {
        this.#parts.signal?.throwIfAborted();
        await this.#recover(error);
      }
    }
  }

  async return(): Promise<{ readonly done: true; readonly value: undefined }> {
    this.#close();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  async #pull(): Promise<Uint8Array> {
    const { done, value } = await this.#chunks.next();
    this.#parts.signal?.throwIfAborted();
    if (done === true) throw new FixityError("store-unavailable", "The store ended the blob before its last byte.");
    if (this.#position + value.length > this.span.end) {
      throw new FixityError("blob-damaged", "The store has more bytes than it said.");
    }
    this.#position += value.length;
    this.#failures = 0;
    return value;
  }

  async #recover(error: unknown): Promise<void> {
    this.#failures += 1;
    const isFinal = error instanceof FixityError && error.code === "blob-damaged";
    if (isFinal || this.#failures >= MOST_FAILURES || this.#body === null) {
      this.#close();
      throw storeFault(asReadFailure(error));
    }
    this.#body.destroy();
    try {
      const body = await this.#parts.reopen({ start: this.#position, end: this.span.end });
      this.#body = body;
      this.#chunks = chunksOf(body);
    } catch (error) {
      this.#close();
      throw storeFault(error);
    }
  }

  #close(): void {
    this.#parts.signal?.removeEventListener("abort", this.#onAbort);
    const body = this.#body;
    this.#body = null;
    // Ends the request. What the stream has to say about that is of no interest.
    body?.on("error", () => null).destroy();
  }
}

function chunksOf(body: Readable): AsyncIterator<Uint8Array> {
  return (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
}

function asReadFailure(error: unknown): unknown {
  if (error instanceof FixityError) return error;
  return new FixityError("store-unavailable", "The store broke off while the blob was being read.", { cause: error });
}
