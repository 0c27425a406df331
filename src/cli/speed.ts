/** The time over which a rate is taken: milliseconds. */
const WINDOW = 5000;
/** Before that much has passed, a rate would be a guess: milliseconds. */
const LEAST = 500;

/** How fast a count of bytes grows. */
export class Speed {
  readonly #samples: { readonly time: number; readonly bytes: number }[] = [];

  /**
   * Takes down where the count stands.
   *
   * @returns bytes per second over the last seconds; `null` where that cannot be said yet
   */
  at(bytes: number, time: number = performance.now()): number | null {
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && time - (this.#samples[1]?.time ?? time) >= WINDOW) this.#samples.shift();
    const [first] = this.#samples;
    if (first === undefined || time - first.time < LEAST) return null;
    return Math.max(0, ((bytes - first.bytes) * 1000) / (time - first.time));
  }
}
