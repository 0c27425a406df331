import { FixityError } from "../../../core/errors.ts";

const MIB = 1024 * 1024;

/** Bytes that S3 takes as one part, at most ("Amazon S3 multipart upload limits"). */
export const LARGEST_PART: number = 5 * 1024 * MIB;

/** By how many steps parts grow, over all the parts that an upload may have. */
const STEPS = 10;

/** What the sizes of parts depend on. */
export interface PartLimits {
  /** Bytes of the first parts. */
  readonly partSize: number;
  readonly fixedPartSize: boolean;
  readonly maxParts: number;
  /** Bytes of the largest part that memory allows. */
  readonly largestPart: number;
}

/**
 * How large the parts of an upload are. Where its length was announced: all the same, and as large as they must be. Where
 * it was not, parts double after each tenth of the parts that there may be, up to what memory allows, so that small files
 * have small parts and the largest ones still come to an end.
 */
export class PartPlan {
  readonly #limits: PartLimits;
  /** Bytes of all parts but the last; `null` where they grow. */
  readonly #same: number | null;

  /** @throws FixityError `size-limit-exceeded` where no plan holds so many bytes */
  constructor(limits: PartLimits, length: number | undefined) {
    this.#limits = { ...limits, largestPart: Math.min(limits.largestPart, LARGEST_PART) };
    this.#same = limits.fixedPartSize ? limits.partSize : length === undefined ? null : evenSize(this.#limits, length);
    if (length !== undefined && length > this.largestFile) throw this.#tooLarge();
  }

  /** Bytes that all parts together may have. */
  get largestFile(): number {
    if (this.#same !== null) return this.#same * this.#limits.maxParts;
    let sum = 0;
    for (let number = 1; number <= this.#limits.maxParts; number += 1) sum += this.size(number);
    return sum;
  }

  /**
   * Bytes of a part; the last one may have fewer.
   *
   * @param number from 1 on
   * @throws FixityError `size-limit-exceeded` behind the last number
   */
  size(number: number): number {
    const { partSize, maxParts, largestPart } = this.#limits;
    if (number > maxParts) throw this.#tooLarge();
    if (this.#same !== null) return this.#same;
    const step = Math.floor(((number - 1) * STEPS) / maxParts);
    return Math.max(partSize, Math.min(partSize * 2 ** step, largestPart));
  }

  #tooLarge(): FixityError {
    const limit = this.largestFile;
    return new FixityError("size-limit-exceeded", `The file is larger than the limit of ${limit} bytes.`, {
      facts: { limit },
    });
  }
}

function evenSize({ partSize, maxParts, largestPart }: PartLimits, length: number): number {
  const least = Math.ceil(length / maxParts / MIB) * MIB;
  return Math.max(partSize, Math.min(least, largestPart));
}
