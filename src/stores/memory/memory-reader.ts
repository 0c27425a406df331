import type { ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader } from "../../core/store.ts";

/** Bytes given at a time. */
const CHUNK = 64 * 1024;

/** A blob being read from memory. */
export class MemoryReader implements BlobReader {
  readonly size: number;
  readonly span: ByteSpan;
  readonly #bytes: Uint8Array;
  readonly #signal: AbortSignal | undefined;
  #closed = false;

  constructor(bytes: Uint8Array, span: ByteSpan, signal: AbortSignal | undefined) {
    this.size = bytes.length;
    this.span = span;
    this.#bytes = bytes;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let start = this.span.start; start < this.span.end; start += CHUNK) {
      this.#signal?.throwIfAborted();
      if (this.#closed) throw new FixityError("store-unavailable", "The blob was closed before its end.");
      // A copy: what is given away may be written to, and the blob never changes.
      yield Buffer.from(this.#bytes.subarray(start, Math.min(start + CHUNK, this.span.end)));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }
}
