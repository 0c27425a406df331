/** Bytes below which a measurement says more about round trips than about a rate. */
const LEAST = 256 * 1024;
/** Milliseconds below which hashing says more about the start of the worker. */
const WARM_UP = 300;
/** How many times as long as hashing all sending must take for the digest to be worth waiting for. */
const WORTH = 8;
/**
 * Of the time for sending, what hashing may take: where it takes more, less than half can be saved, and where cores are few, hashing
 * and sending slow down each other.
 */
const TOO_LATE = 1 / 2;
/** Seconds that hashing may take in any case. */
const SOON = 1;

/** What to do about a digest that is being computed. */
export type Advice =
  /** Send nothing before it is known: that takes little time, and saves much where the server has the content. */
  | "wait"
  /** Send while it is computed. */
  | "go-on"
  /** Do without: all will be sent before it is known, or soon after. */
  | "give-up";

/** How quick this machine has been in hashing, and the network in sending: bytes per second, `null` before the first measurement. */
export class Rates {
  #hashing: number | null = null;
  #sending: number | null = null;

  hashed(bytes: number, ms: number): void {
    this.#hashing = moved(this.#hashing, bytes, ms);
  }

  /** So many bytes of a file are hashed by now. */
  isHashing(bytes: number, ms: number): void {
    if (ms >= WARM_UP) this.hashed(bytes, ms);
  }

  sent(bytes: number, ms: number): void {
    this.#sending = moved(this.#sending, bytes, ms);
  }

  /** For a file of which so many bytes are still to be hashed and to be sent. */
  advice({ toHash, toSend }: { readonly toHash: number; readonly toSend: number }): Advice {
    if (this.#hashing === null || this.#sending === null) return "go-on";
    const hashing = toHash / this.#hashing;
    const sending = toSend / this.#sending;
    // asking is a round trip of its own, too much for what is sent in no time
    if (sending >= hashing * WORTH && sending > 0.5) return "wait";
    return hashing > Math.max(sending * TOO_LATE, SOON) ? "give-up" : "go-on";
  }
}

function moved(rate: number | null, bytes: number, ms: number): number | null {
  if (bytes < LEAST || ms <= 0) return rate;
  const measured = (bytes * 1000) / ms;
  return rate === null ? measured : (rate + measured) / 2;
}
