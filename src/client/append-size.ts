import type { UploadLimits } from "./formats.ts";

const FIRST_APPEND_BYTES = 16 * 1024 * 1024;
const APPEND_MAX_BYTES = 1024 * 1024 * 1024;
/** An append of this size or less is refused for another reason than its size. */
const APPEND_MIN_BYTES = 64 * 1024;
/**
 * How long an append should take. A proxy that buffers whole requests loses all of one when the
 * connection breaks, so it must not be too long.
 */
const APPEND_TARGET_MS = 10_000;
/** The largest ratio between the sizes of two consecutive appends. */
const MAX_GROWTH_FACTOR = 4;
/** The same after a broken connection, which may recur. */
const MAX_GROWTH_FACTOR_AFTER_BREAK = 2;

/**
 * The size of the next append, in bytes. It adapts to the server's limits, to those of proxies in
 * between, and to the speed and reliability of the network.
 */
export class AppendSize {
  #size: number;
  #max: number;
  #min = 0;
  #maxGrowthFactor = MAX_GROWTH_FACTOR;

  /** @param first bytes of the first append. If appends must fit into memory, `max` is the same. */
  constructor({
    first = FIRST_APPEND_BYTES,
    max = APPEND_MAX_BYTES,
  }: { readonly first?: number; readonly max?: number } = {}) {
    this.#size = Math.min(first, max);
    this.#max = max;
  }

  get bytes(): number {
    return Math.max(1, Math.min(this.#size, this.#max), this.#min);
  }

  /** The smallest append that the server accepts, unless it is the last of its upload. */
  get min(): number {
    return this.#min;
  }

  /**
   * Applies limits of the server, in addition to earlier ones.
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
    const fitting = Math.floor((bytes * APPEND_TARGET_MS) / Math.max(ms, 1));
    this.#size = Math.max(APPEND_MIN_BYTES, Math.min(fitting, bytes * this.#maxGrowthFactor, this.#max));
  }

  /** Learns from an append whose connection broke, perhaps because a proxy limits its size. */
  broke(bytes: number): void {
    this.#maxGrowthFactor = MAX_GROWTH_FACTOR_AFTER_BREAK;
    this.#size = Math.max(APPEND_MIN_BYTES, Math.min(this.#size, Math.ceil(bytes / 2)));
  }

  /**
   * Learns from an append that was refused for its size.
   *
   * @returns whether a smaller one is possible
   */
  refused(bytes: number): boolean {
    if (bytes <= Math.max(APPEND_MIN_BYTES, this.#min)) return false;
    this.#max = Math.max(APPEND_MIN_BYTES, Math.ceil(bytes / 2));
    return true;
  }
}
