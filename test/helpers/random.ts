import { createCipheriv, randomInt } from "node:crypto";

/**
 * A repeatable source of randomness: the same seed yields the same sizes, choices and bytes.
 * `TEST_SEED` sets the seed. Tests print the seed that they used, so that a failure can be repeated.
 */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number = Number(process.env["TEST_SEED"] ?? randomInt(2 ** 31))) {
    this.seed = seed;
    this.#state = seed;
  }

  /** At least 0 and less than 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  pick<T>(list: readonly T[]): T {
    const chosen = list[this.integer(0, list.length - 1)];
    if (chosen === undefined) throw new RangeError("nothing to pick from");
    return chosen;
  }

  /** Incompressible bytes, different at each call. */
  bytes(size: number): Buffer {
    const key = Buffer.alloc(32);
    for (let at = 0; at < 32; at += 4) key.writeUInt32LE(this.integer(0, 2 ** 32 - 1), at);
    return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
  }
}
