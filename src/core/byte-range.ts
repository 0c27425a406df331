import { formatExactSize } from "../base/format-size.ts";
import { FixityError } from "./errors.ts";

/** Positions in a blob of known size: from `start` up to, but not including, `end`. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * One range of bytes as requested, before the size of the blob is known (RFC 9110, section 14.1.2):
 * a first and a last byte, a first byte and everything after it, or a suffix.
 */
export class ByteRange {
  /** Position of the first byte; `null` for a suffix range. */
  readonly first: number | null;
  /** Position of the last byte, inclusive, or the length of a suffix; `null` for "to the end". */
  readonly last: number | null;

  private constructor(first: number | null, last: number | null) {
    this.first = first;
    this.last = last;
  }

  /** Bytes `first` to `last`, both inclusive, or to the end. `null` if `last` precedes `first`. */
  static between(first: number, last: number | null = null): ByteRange | null {
    if (!Number.isSafeInteger(first) || first < 0) return null;
    if (last !== null && (!Number.isSafeInteger(last) || last < first)) return null;
    return new ByteRange(first, last);
  }

  /** The last `length` bytes. `null` if that is not a whole number. */
  static suffix(length: number): ByteRange | null {
    return Number.isSafeInteger(length) && length >= 0 ? new ByteRange(null, length) : null;
  }

  /** The range of exactly these bytes; there must be at least one. */
  static over({ start, end }: ByteSpan): ByteRange {
    return new ByteRange(start, end - 1);
  }

  /** The position of this range in a blob of `size` bytes; `null` if it contains no byte of it. */
  within(size: number): ByteSpan | null {
    if (this.first === null) {
      const length = Math.min(this.last ?? 0, size);
      return length === 0 ? null : { start: size - length, end: size };
    }
    if (this.first >= size) return null;
    return { start: this.first, end: this.last === null ? size : Math.min(this.last + 1, size) };
  }

  /**
   * Like {@link within}, for stores: the whole blob if no range was requested.
   *
   * @throws FixityError `range-not-satisfiable`, with the blob's `size`
   */
  static resolve(range: ByteRange | undefined, size: number): ByteSpan {
    if (range === undefined) return { start: 0, end: size };
    const span = range.within(size);
    if (span !== null) return span;
    throw new FixityError(
      "range-not-satisfiable",
      `The range lies outside the file, which has ${formatExactSize(size)}.`,
      { facts: { size } },
    );
  }

  /** As in a `Range` field, without the unit: `0-99`, `100-`, `-500`. */
  toString(): string {
    return this.first === null ? `-${this.last}` : `${this.first}-${this.last ?? ""}`;
  }
}
