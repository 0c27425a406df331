import type { AppendLimits } from "./fields.ts";

const FIRST = 16 * 1024 * 1024;
/** Proxies that keep a request until it is whole lose all of it in a break: no part is larger than this. */
const LARGEST = 128 * 1024 * 1024;
/** What is refused below this is refused for another reason than its size. */
const SMALLEST = 64 * 1024;
/** Milliseconds: a part that took less could as well have been larger. */
const SHORT = 5000;

/** How many bytes go into one request: what limits, proxies and the network have proved to let through. */
export class PartSize {
  #size: number;
  #most = LARGEST;
  #least = 0;

  /** @param first bytes to begin with; where they must be held in memory, not more than these */
  constructor({ first = FIRST, most = LARGEST }: { readonly first?: number; readonly most?: number } = {}) {
    this.#size = Math.min(first, most);
    this.#most = most;
  }

  get bytes(): number {
    return Math.max(1, Math.min(this.#size, this.#most), this.#least);
  }

  /** The server has told its limits. */
  limit({ max, min }: Pick<AppendLimits, "max" | "min">): void {
    this.#most = Math.min(this.#most, max);
    this.#least = min;
  }

  /** A part of so many bytes went through. */
  passed(bytes: number, ms: number): void {
    if (ms < SHORT && bytes >= this.#size) this.#size = Math.min(this.#size * 2, this.#most);
  }

  /** A part of so many bytes broke off: perhaps whatever stands in between does not let as many through. */
  broke(bytes: number): void {
    this.#size = Math.max(SMALLEST, Math.min(this.#size, Math.ceil(bytes / 2)));
  }

  /** A part of so many bytes was refused for its size. `false` where it was as small as parts get. */
  refused(bytes: number): boolean {
    if (bytes <= SMALLEST) return false;
    this.#most = Math.max(SMALLEST, Math.ceil(bytes / 2));
    return true;
  }
}
