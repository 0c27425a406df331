/**
 * Remembers digests in a table of fixed size, four bytes for each, so that millions of them cost
 * nothing more. A digest is forgotten when another one takes its slot. A digest that was never added
 * is reported with a probability below 2^-32, so only what does no harm then may depend on it.
 */
export class RecentDigests {
  /** A part of the digest that belongs to the slot; 0 while the slot is free. */
  readonly #slots: Uint32Array;

  /** @param count digests to remember; rounded up to a power of two */
  constructor(count: number) {
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(count, 1))));
  }

  /** @param hex 64 hex digits, as all digests here */
  add(hex: string): void {
    this.#slots[this.#slotOf(hex)] = fingerprintOf(hex);
  }

  has(hex: string): boolean {
    return this.#slots[this.#slotOf(hex)] === fingerprintOf(hex);
  }

  delete(hex: string): void {
    if (this.has(hex)) this.#slots[this.#slotOf(hex)] = 0;
  }

  // A digest is uniformly distributed: any of its bits make a hash.
  #slotOf(hex: string): number {
    return Number.parseInt(hex.slice(0, 8), 16) & (this.#slots.length - 1);
  }
}

function fingerprintOf(hex: string): number {
  return Number.parseInt(hex.slice(8, 16), 16) || 1;
}
