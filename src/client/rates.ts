/** Bytes below which a measurement says more about round trips than about a rate. */
const LEAST = 256 * 1024;

/** How quick this machine has been in hashing, and the network in sending: bytes per second, `null` before the first measurement. */
export class Rates {
  #hashing: number | null = null;
  #sending: number | null = null;

  hashed(bytes: number, ms: number): void {
    this.#hashing = moved(this.#hashing, bytes, ms);
  }

  sent(bytes: number, ms: number): void {
    this.#sending = moved(this.#sending, bytes, ms);
  }

  /**
   * Whether to hash a file and ask for it before anything of it is sent: where that takes an eighth of the time of sending it at
   * most. Else the first bytes go while it is hashed.
   */
  areForAsking(size: number): boolean {
    if (this.#hashing === null || this.#sending === null) return false;
    // asking is a round trip of its own, too much for what is sent in no time
    return this.#hashing >= 8 * this.#sending && size / this.#sending > 0.5;
  }
}

function moved(rate: number | null, bytes: number, ms: number): number | null {
  if (bytes < LEAST || ms <= 0) return rate;
  const measured = (bytes * 1000) / ms;
  return rate === null ? measured : (rate + measured) / 2;
}
