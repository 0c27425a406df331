import type { ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader } from "../../core/store.ts";
import { close, read } from "./calls.ts";
import { toFixityError } from "./file-system.ts";

/**
 * Bytes read at a time, and all that a slow download holds. With 64 KiB a fast one runs at two thirds of the speed; to
 * read ahead would gain another fifth and double what is held.
 */
const CHUNK = 256 * 1024;

type Result = IteratorResult<Uint8Array, undefined>;

/** What a reader is made of: a descriptor, which is the reader's from now on, and which bytes it is to give. */
export interface DiskReaderParts {
  readonly fd: number;
  readonly size: number;
  readonly span: ByteSpan;
  readonly signal: AbortSignal | undefined;
}

/**
 * A blob's file being read. An iterator by hand, because an aborted signal has to end it and close its file also while
 * nobody pulls, which a generator cannot do.
 */
export class DiskReader implements BlobReader, AsyncIterator<Uint8Array, undefined> {
  readonly size: number;
  readonly span: ByteSpan;
  readonly #signal: AbortSignal | undefined;
  #position: number;
  #fd: number | null;
  /** The read under way; never rejects. */
  #reading: Promise<unknown> | null = null;
  #closing: Promise<void> | null = null;
  readonly #onAbort = () => void this.#close();

  constructor({ fd, size, span, signal }: DiskReaderParts) {
    this.size = size;
    this.span = span;
    this.#position = span.start;
    this.#fd = fd;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this;
  }

  async next(): Promise<Result> {
    this.#signal?.throwIfAborted();
    const left = this.span.end - this.#position;
    if (left === 0) return this.return();
    if (this.#fd === null) throw new FixityError("store-unavailable", "The blob was closed before its end.");
    try {
      const bytes = await this.#read(this.#fd, Math.min(CHUNK, left));
      this.#signal?.throwIfAborted();
      if (bytes.length === 0) throw new FixityError("blob-damaged", "The stored file is shorter than it was.");
      this.#position += bytes.length;
      return { done: false, value: bytes };
    } catch (error) {
      await this.#close();
      throw toFixityError(error);
    }
  }

  async return(): Promise<{ readonly done: true; readonly value: undefined }> {
    await this.#close();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #read(fd: number, length: number): Promise<Uint8Array> {
    // Not from Node's pool of small buffers, and not zeroed: the part that is filled is all that is given on.
    const bytes = Buffer.allocUnsafeSlow(length);
    const reading = read(fd, bytes, this.#position);
    this.#reading = reading.catch(() => null);
    const count = await reading;
    return count === length ? bytes : bytes.subarray(0, count);
  }

  /** A descriptor is closed only when nothing reads from it: its number may at once be another file's. */
  #close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    const fd = this.#fd;
    this.#fd = null;
    await this.#reading;
    // Nothing is lost with a descriptor for reading, however its closing goes.
    if (fd !== null) await close(fd).catch(() => null);
  }
}
