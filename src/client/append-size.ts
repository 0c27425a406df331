import type { AppendLimits } from "./formats.ts";

const FIRST = 16 * 1024 * 1024;
const LARGEST = 1024 * 1024 * 1024;
/** What is refused below this is refused for another reason than its size. */
const SMALLEST = 64 * 1024;
/** Milliseconds that a part should take: proxies that keep a request until it is whole lose all of it in a break. */
const AIM = 10_000;
/** How many times as large as the one before a part may be; after a break, which may come again, less. */
const GROWTH = 4;
const GROWTH_AFTER_BREAK = 2;

/** How many bytes go into one request: what limits, proxies and the network have proved to let through. */
export class PartSize {
  #size: number;
  #most = LARGEST;
  #least = 0;
  #growth = GROWTH;

  /** @param first bytes to begin with; where they must be held in memory, not more than these */
  constructor({ first = FIRST, most = LARGEST }: { readonly first?: number; readonly most?: number } = {}) {
    this.#size = Math.min(first, most);
    this.#most = most;
  }

  get bytes(): number {
    return Math.max(1, Math.min(this.#size, this.#most), this.#least);
  }

  /** What the server takes at least, but for the end of an upload. */
  get least(): number {
    return this.#least;
  }

  /** Applies limits of the server; where one is known already, the stricter one holds. `false` where nothing changes. */
  limit({ max, min }: Pick<AppendLimits, "max" | "min">): boolean {
    const hasChanged = max < this.#most || min > this.#least;
    this.#most = Math.min(this.#most, max);
    this.#least = Math.max(this.#least, min);
    return hasChanged;
  }

  /** A part of so many bytes went through. */
  passed(bytes: number, ms: number): void {
    if (bytes < this.#size) return;
    const fitting = Math.floor((bytes * AIM) / Math.max(ms, 1));
    this.#size = Math.max(SMALLEST, Math.min(fitting, bytes * this.#growth, this.#most));
  }

  /** A part of so many bytes broke off: perhaps whatever stands in between does not let as many through. */
  broke(bytes: number): void {
    this.#growth = GROWTH_AFTER_BREAK;
    this.#size = Math.max(SMALLEST, Math.min(this.#size, Math.ceil(bytes / 2)));
  }

  /** A part of so many bytes was refused for its size. `false` where there may be no smaller ones. */
  refused(bytes: number): boolean {
    if (bytes <= Math.max(SMALLEST, this.#least)) return false;
    this.#most = Math.max(SMALLEST, Math.ceil(bytes / 2));
    return true;
  }
}
