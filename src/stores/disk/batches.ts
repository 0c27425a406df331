/** Bytes that all uploads together should gather, 8 MiB. */
const BUDGET = 8 * 1024 * 1024;
/** Fewer bytes a write cost throughput, more gain none. */
const LEAST = 64 * 1024;
const MOST = 256 * 1024;

/**
 * How many bytes an upload gathers before it writes them: the fewer, the more uploads there are, so that a hundred at once
 * need little more memory than ten.
 */
export class Batches {
  #uploads = 0;

  /** Uploads under way. */
  get uploads(): number {
    return this.#uploads;
  }

  /** Bytes. */
  get size(): number {
    return Math.max(LEAST, Math.min(MOST, Math.floor(BUDGET / this.#uploads)));
  }

  enter(): void {
    this.#uploads += 1;
  }

  leave(): void {
    this.#uploads -= 1;
  }
}
