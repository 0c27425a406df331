import { misreadForm } from "./form-errors.ts";

const CR = 13;
const EMPTY = Buffer.alloc(0);

/** What {@link ByteScanner.take} found: bytes, the delimiter, or nothing before the next chunk. */
export type Taken = Buffer | "delimiter" | "starved";

/**
 * Takes the bytes between delimiters out of a stream of chunks, wherever the chunks end. It keeps the current chunk and
 * hands out slices of it. Of a delimiter that begins at the end of a chunk it keeps only how many bytes matched: these
 * bytes are known, so nothing is copied.
 *
 * Delimiters have to be such that a match which fails leaves no other one begun within it, as those of a form are:
 * `CRLF -- boundary` has its only CR in front; and in `CRLF CRLF`, the second CR begins another match only where a line
 * feed follows, which completes the first.
 */
export class ByteScanner {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = EMPTY;
  #position = 0;
  /** Bytes of the delimiter matched just before `#position`. */
  #matched = 0;
  /** How many of these were never in the stream. */
  #implied = 0;
  #pulling = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /**
   * Goes on as if `count` bytes of the next delimiter had just been passed. To be called between delimiters only. A
   * boundary may stand at the very start of a form, and right behind the empty line that ends a header section: the
   * line break that belongs to it is that of the line before (RFC 2046, section 5.1.1, `body-part`).
   */
  imply(count: number): void {
    this.#matched = count;
    this.#implied = count;
  }

  /**
   * Takes what comes next: the bytes up to a delimiter in one or more slices, none of them empty, then the delimiter
   * itself. The caller asks for one delimiter until it is found. The slices are the caller's.
   */
  take(delimiter: Buffer): Taken {
    if (this.#matched > 0) {
      const taken = this.#goOnMatching(delimiter);
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

  /** Brings the next chunk, once all of the current one has been taken. `false` at the end of the stream. */
  async pull(): Promise<boolean> {
    if (this.#pulling) throw misreadForm("A form is read by one reader at a time.");
    this.#pulling = true;
    try {
      const { done, value } = await this.#source.next();
      if (done === true) return false;
      this.#chunk = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length);
      this.#position = 0;
      return true;
    } finally {
      this.#pulling = false;
    }
  }

  /** Goes on comparing where a match stopped; `null` where it fails and leaves nothing to hand out. */
  #goOnMatching(delimiter: Buffer): Taken | null {
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
    // copied, since whoever takes a slice owns it
    return matched > implied ? Buffer.from(delimiter.subarray(implied, matched)) : null;
  }

  #forgetMatch(): void {
    this.#matched = 0;
    this.#implied = 0;
  }
}

/** Where the delimiter, both of which begin with CR, begins at the end of the chunk; the chunk's length if nowhere. */
function startOfMatch(chunk: Buffer, from: number, delimiter: Buffer): number {
  let start = chunk.indexOf(CR, Math.max(from, chunk.length - delimiter.length + 1));
  while (start !== -1) {
    if (chunk.compare(delimiter, 0, chunk.length - start, start) === 0) return start;
    start = chunk.indexOf(CR, start + 1);
  }
  return chunk.length;
}
