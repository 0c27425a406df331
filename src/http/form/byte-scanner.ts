import { misreadForm } from "./form-errors.ts";

const CR = 13;
const EMPTY = Buffer.alloc(0);

/**
 * The result of {@link ByteScanner.take}: bytes, the delimiter, or nothing until the next chunk is
 * pulled.
 */
export type Taken = Buffer | "delimiter" | "starved";

/**
 * Splits a stream of chunks at delimiters, wherever the chunks end. The scanner keeps the current
 * chunk and hands out slices of it. If a delimiter begins at the end of a chunk, the scanner keeps
 * only the number of matched bytes: it knows these bytes, so it copies nothing.
 *
 * A failed match must not contain the start of another match. Delimiters of a form have this
 * property: `CRLF -- boundary` has its only CR at the front, and in `CRLF CRLF` the second CR
 * starts a match only if a line feed follows, which completes the first match.
 */
export class ByteScanner {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = EMPTY;
  #position = 0;
  /** Bytes of the delimiter matched just before `#position`. */
  #matched = 0;
  /** How many of these were implied and never in the stream. */
  #implied = 0;
  #isPulling = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /**
   * Continues as if the first `count` bytes of the next delimiter had just been read. Must be
   * called between delimiters. A boundary may stand at the very start of a form, and directly after
   * the empty line that ends a header section: its line break is then that of the preceding line
   * (RFC 2046, section 5.1.1, `body-part`).
   */
  imply(count: number): void {
    this.#matched = count;
    this.#implied = count;
  }

  /**
   * Takes what comes next: the bytes before a delimiter in one or more non-empty slices, then the
   * delimiter itself. The caller must pass the same delimiter until it is found. The caller owns
   * the slices.
   */
  take(delimiter: Buffer): Taken {
    if (this.#matched > 0) {
      const taken = this.#continueMatch(delimiter);
      if (taken !== null) return taken;
    }
    const chunk = this.#chunk;
    const from = this.#position;
    if (from === chunk.length) return "starved";
    const found = chunk.indexOf(delimiter, from);
    const end = found === -1 ? startOfMatch(chunk, from, delimiter) : found;
    this.#matched = found === -1 ? chunk.length - end : delimiter.length;
    this.#position = end + this.#matched;
    if (end > from) return chunk.subarray(from, end);
    if (found === -1) return "starved";
    this.#forgetMatch();
    return "delimiter";
  }

  /**
   * Reads the next chunk, once the current one has been taken completely. Returns `false` at the
   * end of the stream.
   */
  async pull(): Promise<boolean> {
    if (this.#isPulling) throw misreadForm("A form must be read by one reader at a time.");
    this.#isPulling = true;
    try {
      const { done, value } = await this.#source.next();
      if (done === true) return false;
      this.#chunk = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length);
      this.#position = 0;
      return true;
    } finally {
      this.#isPulling = false;
    }
  }

  /** Continues a partial match. Returns `null` if it fails and leaves no bytes to hand out. */
  #continueMatch(delimiter: Buffer): Taken | null {
    const matched = this.#matched;
    const count = Math.min(delimiter.length - matched, this.#chunk.length - this.#position);
    const start = this.#position;
    if (this.#chunk.compare(delimiter, matched, matched + count, start, start + count) === 0) {
      this.#position += count;
      this.#matched += count;
      if (this.#matched < delimiter.length) return "starved";
      this.#forgetMatch();
      return "delimiter";
    }
    const implied = this.#implied;
    this.#forgetMatch();
    // A copy, because the caller owns the slices.
    return matched > implied ? Buffer.from(delimiter.subarray(implied, matched)) : null;
  }

  #forgetMatch(): void {
    this.#matched = 0;
    this.#implied = 0;
  }
}

/**
 * Where a prefix of the delimiter, which begins with CR, ends the chunk; the chunk's length if
 * nowhere.
 */
function startOfMatch(chunk: Buffer, from: number, delimiter: Buffer): number {
  let start = chunk.indexOf(CR, Math.max(from, chunk.length - delimiter.length + 1));
  while (start !== -1) {
    if (chunk.compare(delimiter, 0, chunk.length - start, start) === 0) return start;
    start = chunk.indexOf(CR, start + 1);
  }
  return chunk.length;
}
