import type { UploadLimits } from "./formats.ts";

const FIRST_BYTES = 16 * 1024 * 1024;
const MAX_BYTES = 1024 * 1024 * 1024;
/** An append of this size or less is refused for another reason than its size. */
const MIN_BYTES = 64 * 1024;
/**
 * How long an append should take: a proxy that buffers whole requests loses all of one when the
 * connection breaks.
 */
const TARGET_MS = 10_000;
/** How many times as large as the append before an append may be. */
const GROWTH = 4;
/** The same after a broken connection, which may recur. */
const GROWTH_AFTER_BREAK = 2;

/**
 * How many bytes go into one append: what limits, proxies and the network have proved to let
 * through.
 */
export class AppendSize {
  #size: number;
  #max: number;
  #min = 0;
  #growth = GROWTH;

  /** @param first bytes of the first append. If appends must fit into memory, `max` is the same. */
  constructor({ first = FIRST_BYTES, max = MAX_BYTES }: { readonly first?: number; readonly max?: number } = {}) {
    this.#size = Math.min(first, max);
    this.#max = max;
  }

  get bytes(): number {
    return Math.max(1, Math.min(this.#size, this.#max), this.#min);
  }

  /** The least that the server accepts, unless the append is the last of its upload. */
  get min(): number {
    return this.#min;
  }

  /**
   * Applies limits of the server. The stricter one of two holds.
   *
   * @returns whether anything has changed
   */
  limit({ max, min }: Pick<UploadLimits, "max" | "min">): boolean {
    const hasChanged = max < this.#max || min > this.#min;
    this.#max = Math.min(this.#max, max);
    this.#min = Math.max(this.#min, min);
    return hasChanged;
  }

  /** Learns from an append that succeeded. */
  succeeded(bytes: number, ms: number): void {
    if (bytes < this.#size) return;
    const fitting = Math.floor((bytes * TARGET_MS) / Math.max(ms, 1));
    this.#size = Math.max(MIN_BYTES, Math.min(fitting, bytes * this.#growth, this.#max));
  }

  /**
   * Learns from an append whose connection broke: something in between may not let as much through.
   */
  broke(bytes: number): void {
    this.#growth = GROWTH_AFTER_BREAK;
    this.#size = Math.max(MIN_BYTES, Math.min(this.#size, Math.ceil(bytes / 2)));
  }

  /**
   * Learns from an append that was refused for its size.
   *
   * @returns whether a smaller one is possible
   */
  refused(bytes: number): boolean {
    if (bytes <= Math.max(MIN_BYTES, this.#min)) return false;
    this.#max = Math.max(MIN_BYTES, Math.ceil(bytes / 2));
    return true;
  }
}
