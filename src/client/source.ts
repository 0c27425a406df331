/** Opens what the caller wants to upload, and splits it into appends. */
import { FixityClientError, sourceChanged } from "./errors.ts";
import type { Content, Platform, IncrementalHash } from "./platform.ts";
import type { UploadSource } from "./types.ts";

/** What is known about a source besides its bytes. */
export interface SourceFacts {
  readonly name: string | null;
  readonly type: string | null;
  /**
   * Distinguishes the file from others of its size and time; `null` if the source cannot be
   * recognised later.
   */
  readonly identity: string | null;
  /** Milliseconds since 1970, or `null`. */
  readonly lastModified: number | null;
}

/** An opened file: content that can be read from anywhere. */
export interface OpenedFile extends SourceFacts {
  readonly content: Content;
  readonly stream: null;
}

/** An opened source: a file, or a stream that can be read once. */
export type OpenedSource =
  | OpenedFile
  | (SourceFacts & { readonly content: null; readonly stream: AsyncIterable<Uint8Array> });

export const NO_FACTS: SourceFacts = { name: null, type: null, identity: null, lastModified: null };

/** @throws FixityClientError `invalid-source` */
export async function openSource(source: UploadSource, platform: Platform): Promise<OpenedSource> {
  if (typeof source === "string" || source instanceof URL) {
    const { content, name, identity, lastModified } = await platform.openFile(source);
    return { content, stream: null, name, type: null, identity, lastModified };
  }
  if (source instanceof Blob) return { content: source as unknown as Content, stream: null, ...factsOf(source) };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { content: platform.concat([bytesOf(source)]), stream: null, ...NO_FACTS };
  }
  if (typeof source === "object" && source !== null) {
    // before the other iterables, because web streams are not iterable in all browsers
    if ("getReader" in source) return { content: null, stream: chunksOf(source), ...NO_FACTS };
    if (Symbol.asyncIterator in source) {
      assertReadable(source);
      return { content: null, stream: source, ...NO_FACTS };
    }
  }
  throw new FixityClientError("invalid-source", "This cannot be uploaded: pass a File, a Blob, bytes or a stream.");
}

export function factsOf(blob: Blob): SourceFacts {
  const type = blob.type === "" ? null : blob.type;
  if (!(blob instanceof File)) return { ...NO_FACTS, type };
  // a chosen folder yields its files, and several of them may have one name
  const { name, lastModified, webkitRelativePath } = blob as File & { readonly webkitRelativePath?: string };
  return { name, type, identity: webkitRelativePath || name, lastModified };
}

/**
 * @throws FixityClientError `invalid-source` for a buffer that was transferred away, which would be
 *   an empty file
 */
export function bytesOf(source: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const buffer = source instanceof ArrayBuffer ? source : source.buffer;
  if (buffer.detached) throw new FixityClientError("invalid-source", "The buffer is detached: its bytes are gone.");
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

/**
 * Refuses a Node stream that has ended or failed: iterating it yields no bytes, which would be an
 * empty file.
 *
 * @throws FixityClientError `invalid-source`
 */
function assertReadable(
  source: AsyncIterable<Uint8Array> & { readonly readable?: unknown; readonly errored?: unknown },
): void {
  if (source.readable !== false) return;
  const cause = source.errored ?? undefined;
  throw new FixityClientError("invalid-source", "The stream has already ended, failed or been closed.", { cause });
}

/**
 * Iterates a web stream.
 *
 * @throws FixityClientError `invalid-source` if it is locked
 */
function chunksOf(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  if (stream.locked) throw new FixityClientError("invalid-source", "The stream is locked by another reader.");
  const wasRead = isDisturbed(stream);
  return (async function* () {
    const reader = stream.getReader();
    let isEmpty = true;
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        isEmpty = false;
        yield next.value;
      }
    } finally {
      // cancelling a stream that has failed only repeats its error
      await reader.cancel().catch(() => null);
    }
    // a caller may have read the beginning and want to upload the rest, but not an empty rest
    if (isEmpty && wasRead) {
      const detail = "The stream has already been read or cancelled: nothing is left of it.";
      throw new FixityClientError("invalid-source", detail);
    }
  })();
}

/**
 * Whether a web stream was read from or cancelled. The constructor of a response refuses such a
 * stream (Fetch, 5.3).
 */
function isDisturbed(stream: ReadableStream<Uint8Array>): boolean {
  try {
    void new Response(stream);
    return false;
  } catch {
    return true;
  }
}

/** The bytes of one append. */
export interface Append {
  readonly content: Content;
  /** Whether they are the last ones of the file. */
  readonly isLast: boolean;
}

/**
 * Yields an upload's appends in the order of their offsets, and lost bytes again.
 */
export interface AppendSource {
  /** Bytes of the file; `null` while that is unknown. */
  readonly total: number | null;
  /** Returns `size` bytes from `offset`, or fewer if the file ends before. */
  take(offset: number, size: number): Promise<Append>;
}

/** The appends of a file, which can be read from any offset. */
export class FileAppends implements AppendSource {
  readonly #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  get total(): number {
    return this.#content.size;
  }

  async take(offset: number, size: number): Promise<Append> {
    const end = Math.min(offset + size, this.total);
    return { content: this.#content.slice(offset, end), isLast: end === this.total };
  }
}

/** Errors of reading a file that has changed or disappeared (File API, section 7). */
const UNREADABLE_ERRORS: ReadonlySet<string> = new Set(["NotReadableError", "NotFoundError"]);

export interface StreamAppendsOptions {
  /** Receives the bytes as they arrive; `null` for no digest. */
  readonly hash: IncrementalHash | null;
  readonly concat: Platform["concat"];
}

/**
 * The appends of a stream. Bytes that the server has not acknowledged are kept in memory: those of
 * one append.
 */
export class StreamAppends implements AppendSource {
  /** Resolves when the stream has been read to its end. */
  readonly ended: Promise<void>;
  readonly #ending = Promise.withResolvers<void>();
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #hash: IncrementalHash | null;
  readonly #concat: Platform["concat"];
  /** The bytes from `#base` to `#end`. */
  #kept: Uint8Array<ArrayBuffer>[] = [];
  #base = 0;
  #end = 0;
  #hasEnded = false;
  /** The pending read. A pause does not end it; the next `take` waits for it. */
  #reading: Promise<void> | null = null;

  constructor(stream: AsyncIterable<Uint8Array>, { hash, concat }: StreamAppendsOptions) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#hash = hash;
    this.#concat = concat;
    this.ended = this.#ending.promise;
  }

  get total(): number | null {
    return this.#hasEnded ? this.#end : null;
  }

  async take(offset: number, size: number): Promise<Append> {
    if (offset < this.#base || offset > this.#end) {
      throw new FixityClientError(
        "source-changed",
        "The server has lost bytes of a stream, which cannot be read again.",
      );
    }
    this.#dropBefore(offset);
    // one more byte shows whether more follow
    await this.#fill(offset + size + 1);
    const kept = this.#concat(this.#kept);
    const end = Math.min(size, kept.size);
    return { content: kept.slice(0, end), isLast: this.#hasEnded && end === kept.size };
  }

  /** Closes a stream that is not needed to its end. */
  async close(): Promise<void> {
    if (!this.#hasEnded) await this.#chunks.return?.();
  }

  async #fill(until: number): Promise<void> {
    while (!this.#hasEnded && this.#end < until) {
      this.#reading ??= this.#read().finally(() => (this.#reading = null));
      await this.#reading;
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
      throw new FixityClientError("invalid-source", "The stream yields something other than bytes.");
    }
    if (value.length === 0) return;
    // the stream may reuse its buffer
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
      if (cause instanceof DOMException && UNREADABLE_ERRORS.has(cause.name)) throw sourceChanged(cause);
      if (cause instanceof FixityClientError) throw cause;
      throw new FixityClientError("invalid-source", "The stream failed before its end.", { cause });
    }
  }

  #dropBefore(offset: number): void {
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
