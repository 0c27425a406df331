import { abortError, FixityClientError, sourceChanged } from "../errors.ts";

/** Bytes that are read at a time. */
const WINDOW_BYTES = 64 * 1024;
/** Segments or chunks of a file. The next limit is for those that are kept. */
const MAX_SEGMENTS = 100_000;
/** Parts of the result. More would be a file made to exhaust memory. */
const MAX_PARTS = 20_000;

/** One part of a rewritten file: bytes in memory, or a slice of the original. */
export type FilePart = Blob | Uint8Array<ArrayBuffer>;

/** Rewrites a file of one format. @throws FixityClientError `metadata-not-removed` */
export type Rewriter = (reader: FileReader) => Promise<FilePart[]>;

/** Reads a file at any offset, through a window that holds its last {@link WINDOW_BYTES}. */
export class FileReader {
  readonly size: number;
  readonly #file: Blob;
  readonly #signal: AbortSignal | undefined;
  #window: Uint8Array<ArrayBuffer> = new Uint8Array();
  #windowStart = 0;
  #segments = 0;

  constructor(file: Blob, signal: AbortSignal | undefined) {
    this.#file = file;
    this.#signal = signal;
    this.size = file.size;
  }

  /**
   * Returns `length` bytes from an offset. The caller must not change them.
   *
   * @throws FixityClientError `metadata-not-removed` if the file ends before, `source-changed`,
   *   `aborted`
   */
  async read(at: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (at + length > this.size) throw damaged("it is cut off");
    const from = at - this.#windowStart;
    if (from >= 0 && from + length <= this.#window.length) return this.#window.subarray(from, from + length);
    await this.#load(at, length);
    return this.#window.subarray(0, length);
  }

  /** Returns the bytes from an offset that can be read at once: at least one. */
  async readSome(at: number): Promise<Uint8Array<ArrayBuffer>> {
    await this.read(at, 1);
    return this.#window.subarray(at - this.#windowStart);
  }

  /** Bounds the time that a file can take which consists of tiny segments. */
  countSegment(): void {
    this.#segments += 1;
    if (this.#segments > MAX_SEGMENTS) throw damaged("it has too many segments");
  }

  slice(start: number, end: number): Blob {
    return this.#file.slice(start, end);
  }

  async #load(at: number, length: number): Promise<void> {
    if (this.#signal?.aborted === true) throw abortError(this.#signal);
    const end = Math.min(this.size, at + Math.max(length, WINDOW_BYTES));
    try {
      this.#window = new Uint8Array(await this.#file.slice(at, end).arrayBuffer());
    } catch (cause) {
      throw sourceChanged(cause);
    }
    this.#windowStart = at;
    if (this.#window.length < length) throw sourceChanged();
  }
}

/** Collects the parts of a rewritten file. Adjacent ranges of the original become one part. */
export class PartList {
  readonly #reader: FileReader;
  readonly #parts: FilePart[] = [];
  #pending: { readonly start: number; end: number } | null = null;
  #size = 0;

  constructor(reader: FileReader) {
    this.#reader = reader;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Appends bytes. */
  add(bytes: Uint8Array<ArrayBuffer>): void {
    this.#flush();
    this.#push(bytes);
    this.#size += bytes.length;
  }

  /** Appends a range of the original. */
  keep(start: number, end: number): void {
    this.#size += end - start;
    if (this.#pending?.end === start) {
      this.#pending.end = end;
      return;
    }
    this.#flush();
    this.#pending = { start, end };
  }

  /** Returns all parts. */
  end(): FilePart[] {
    this.#flush();
    return this.#parts;
  }

  #flush(): void {
    if (this.#pending !== null) this.#push(this.#reader.slice(this.#pending.start, this.#pending.end));
    this.#pending = null;
  }

  #push(part: FilePart): void {
    if (this.#parts.length >= MAX_PARTS) throw damaged("it has too many parts");
    this.#parts.push(part);
  }
}

/** The error of a file that cannot be parsed, and so may keep metadata. */
export function damaged(reason: string): FixityClientError {
  const detail = `The metadata of this image cannot be removed, because the file is damaged: ${reason}.`;
  return new FixityClientError("metadata-not-removed", detail);
}

/** Bytes of Latin-1 text. */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The four characters at an offset, as formats of chunks name them. */
export function fourCharacters(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

/** Reads and writes numbers of some bytes. */
export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
