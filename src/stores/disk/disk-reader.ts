import { closeSync, fstatSync, type Stats } from "node:fs";
import type { BlobIdentity } from "../../core/blob-stat.ts";
import type { ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader } from "../../core/store.ts";
import { read } from "./calls.ts";
import { toFixityError } from "./file-system.ts";

/**
 * Bytes read at a time, which is all the memory of a slow download. With 64 KiB a fast one runs at
 * two thirds of the speed; reading ahead would gain another fifth and double the memory.
 */
const READ_CHUNK_BYTES = 256 * 1024;

/** Recycled buffers that a reader keeps: one is read into while another is sent or hashed. */
const SPARE_BUFFERS_MAX = 2;

type Result = IteratorResult<Uint8Array, undefined>;

/** What a reader reads. It owns the descriptor from then on. */
export interface DiskReaderOptions {
  readonly fd: number;
  readonly size: number;
  readonly span: ByteSpan;
  /** Of a blob; the file of an upload has none. */
  readonly identity?: BlobIdentity;
  /** The facts of a blob's file when it was opened. They must be the same at the end. */
  readonly facts?: Stats;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads a blob's file. Written as an iterator, because an aborted signal has to end the read and
 * close the file even between two pulls, which a generator cannot do.
 */
export class DiskReader implements BlobReader, AsyncIterator<Uint8Array, undefined> {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #facts: Stats | undefined;
  readonly #signal: AbortSignal | undefined;
  #position: number;
  #fd: number | null;
  readonly #spare: Uint8Array[] = [];
  /** The read in progress; never rejects. */
  #reading: Promise<unknown> | null = null;
  #closing: Promise<void> | null = null;
  readonly #onAbort = () => void this.#close();

  constructor({ fd, size, span, identity, facts, signal }: DiskReaderOptions) {
    this.size = size;
    this.span = span;
    if (identity !== undefined) this.identity = identity;
    this.#position = span.start;
    this.#fd = fd;
    this.#facts = facts;
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
      const bytes = await this.#read(this.#fd, Math.min(READ_CHUNK_BYTES, left));
      this.#signal?.throwIfAborted();
      if (bytes.length === 0) throw new FixityError("blob-damaged", "The stored file is shorter than it was.");
      this.#position += bytes.length;
      if (this.#position === this.span.end) this.#assertUnchanged(this.#fd);
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

  recycle(chunk: Uint8Array): void {
    if (chunk.length !== READ_CHUNK_BYTES || this.#spare.length >= SPARE_BUFFERS_MAX) return;
    this.#spare.push(chunk);
  }

  async #read(fd: number, length: number): Promise<Uint8Array> {
    // Not from Node's pool of small buffers, and not zeroed: only the filled part is passed on.
    const spare = length === READ_CHUNK_BYTES ? this.#spare.pop() : undefined;
    const bytes = spare ?? Buffer.allocUnsafeSlow(length);
    const reading = read(fd, bytes, this.#position);
    this.#reading = reading.catch(() => null);
    const count = await reading;
    return count === length ? bytes : bytes.subarray(0, count);
  }

  /**
   * Another program may have written to the file since it was opened. The time of its last change of
   * status is not compared: a removal or a replacement of the blob changes that, too.
   *
   * @throws FixityError `blob-damaged`
   */
  #assertUnchanged(fd: number): void {
    if (this.#facts === undefined) return;
    const { size, mtimeMs } = fstatSync(fd);
    if (size === this.#facts.size && mtimeMs === this.#facts.mtimeMs) return;
    throw new FixityError("blob-damaged", "The stored file was changed while it was read.");
  }

  /**
   * A descriptor is closed only when nothing reads from it: its number may be another file's at
   * once.
   */
  #close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    const fd = this.#fd;
    this.#fd = null;
    this.#spare.length = 0;
    await this.#reading;
    if (fd === null) return;
    try {
      // Not in a thread: nothing is written when a descriptor for reading is closed.
      closeSync(fd);
    } catch {
      // A failed close of such a descriptor loses nothing.
    }
  }
}
