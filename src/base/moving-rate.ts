/** Milliseconds over which the rate is measured. */
const WINDOW_MS = 5000;
/** Milliseconds between the first and the last sample below which there is no rate. */
const SPAN_MIN_MS = 100;

/** How fast a count has grown during the last five seconds. */
export class MovingRate {
  #samples: { readonly at: number; readonly count: number }[] = [];

  /**
   * Adds a sample. A count that has gone down starts the measurement over.
   *
   * @param at milliseconds since 1970
   * @returns the growth per second, or `null` until the samples span 100 ms
   */
  sample(count: number, at: number = Date.now()): number | null {
    if (count < (this.#samples.at(-1)?.count ?? 0)) this.restart();
    this.#samples.push({ at, count });
    while ((this.#samples[0]?.at ?? at) < at - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || at - first.at < SPAN_MIN_MS) return null;
    return ((count - first.count) * 1000) / (at - first.at);
  }

  /** Forgets all samples. */
  restart(): void {
    this.#samples = [];
  }
}
