import { FixityClientError, sourceChanged } from "./errors.ts";
import type { Content, RunningHash } from "./platform.ts";

/** Errors of reading a file that has changed or gone (File API, section 7). */
const UNREADABLE: ReadonlySet<string> = new Set(["NotReadableError", "NotFoundError"]);

/** Bytes of an upload, from an offset. */
export interface Part {
  readonly content: Content;
  /** They are the last ones. */
  readonly isLast: boolean;
}

/** What gives an upload its bytes, in the order of their offsets, and some of them again where they were lost. */
export interface Parts {
  /** Of the whole; `null` where that is not known yet. */
  readonly total: number | null;
  /** Bytes from an offset: as many as asked for, or fewer where there are no more. */
  take(offset: number, size: number): Promise<Part>;
}

/** Of a file: from anywhere. */
export class FileParts implements Parts {
  readonly #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  get total(): number {
    return this.#content.size;
  }

  async take(offset: number, size: number): Promise<Part> {
    const end = Math.min(offset + size, this.total);
    return { content: this.#content.slice(offset, end), isLast: end === this.total };
  }
}

/** What a {@link StreamParts} is made of. */
export interface StreamPartsOptions {
  readonly stream: AsyncIterable<Uint8Array>;
  /** Takes the bytes as they come; `null` for no digest. */
  readonly hash: RunningHash | null;
  readonly join: (chunks: readonly Uint8Array<ArrayBuffer>[]) => Content;
}

/** Of a stream: those that the server has not told to have are kept in memory, which is one part of them. */
export class StreamParts implements Parts {
  /** Resolves when the stream has been read to its end. */
  readonly ended: Promise<void>;
  readonly #ending = Promise.withResolvers<void>();
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #hash: RunningHash | null;
  readonly #join: StreamPartsOptions["join"];
  /** Bytes from `#base` to `#end`. */
  #kept: Uint8Array<ArrayBuffer>[] = [];
  #base = 0;
  #end = 0;
  #hasEnded = false;
  #filling: Promise<void> | null = null;

  constructor({ stream, hash, join }: StreamPartsOptions) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#hash = hash;
    this.#join = join;
    this.ended = this.#ending.promise;
  }

  get total(): number | null {
    return this.#hasEnded ? this.#end : null;
  }

  async take(offset: number, size: number): Promise<Part> {
    if (offset < this.#base || offset > this.#end) {
      throw new FixityClientError("source-changed", "The server has lost bytes of a stream that cannot be read again.");
    }
    this.#forget(offset);
    // one byte more tells whether there are more
    await this.#fill(offset + size + 1);
    const held = this.#join(this.#kept);
    const end = Math.min(size, held.size);
    return { content: held.slice(0, end), isLast: this.#hasEnded && end === held.size };
  }

  /** Lets go of a stream that is not needed to its end. */
  async close(): Promise<void> {
    if (!this.#hasEnded) await this.#chunks.return?.();
  }

  /** A read that nobody waits for any more (a pause) is the next one's. */
  async #fill(until: number): Promise<void> {
    while (!this.#hasEnded && this.#end < until) {
      this.#filling ??= this.#read().finally(() => (this.#filling = null));
      await this.#filling;
    }
  }

  async #read(): Promise<void> {
    const { value, done } = await this.#next();
    if (done === true) {
      this.#hasEnded = true;
      this.#ending.resolve();
      return;
    }
    if (!(value instanceof Uint8Array)) {
      throw new FixityClientError("invalid-source", "The stream gives something else than bytes.");
    }
    if (value.length === 0) return;
    // the stream may use its buffer again
    const chunk = new Uint8Array(value);
    await this.#hash?.update(chunk);
    this.#kept.push(chunk);
    this.#end += chunk.length;
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      return await this.#chunks.next();
    } catch (cause) {
      // the stream of a Blob whose file has changed
      if (cause instanceof DOMException && UNREADABLE.has(cause.name)) throw sourceChanged(cause);
      if (cause instanceof FixityClientError) throw cause;
      throw new FixityClientError("invalid-source", "The stream broke off.", { cause });
    }
  }

  #forget(offset: number): void {
    let first = this.#kept[0];
    while (first !== undefined && this.#base < offset) {
      const gone = Math.min(first.length, offset - this.#base);
      this.#base += gone;
      if (gone === first.length) this.#kept.shift();
      else this.#kept[0] = first.subarray(gone);
      first = this.#kept[0];
    }
  }
}
