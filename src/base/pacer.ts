import { delay } from "./abort-race.ts";

/** The time that may be made up after a pause: timers are late, and what waits for them is too. */
const CATCH_UP_MS = 100;

/** A shorter wait is added to the next one. */
const SHORTEST_WAIT_MS = 1;

/** Milliseconds, and waiting for them: real, or of a test. */
export interface Clock {
  readonly now: () => number;
  readonly delay: (ms: number, signal?: AbortSignal) => Promise<void>;
}

const REAL_CLOCK: Clock = { now: () => performance.now(), delay };

/**
 * Bounds the rate of any number of concurrent transfers together: each reports the bytes that it has
 * transferred, and waits until they were due. Time in which nothing is transferred is not saved up.
 */
export class Pacer {
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all bytes reported so far are due. */
  #dueAt = -Infinity;

  /** @param bytesPerSecond `Infinity` for no bound */
  constructor(bytesPerSecond: number, clock: Clock = REAL_CLOCK) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
  }

  /**
   * Waits until `bytes` more bytes are due.
   *
   * @throws the signal's reason
   */
  async pass(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#bytesPerMs === Infinity) return;
    const now = this.#clock.now();
    this.#dueAt = Math.max(this.#dueAt, now - CATCH_UP_MS) + bytes / this.#bytesPerMs;
    const earlyMs = this.#dueAt - now;
    if (earlyMs > SHORTEST_WAIT_MS) await this.#clock.delay(earlyMs, signal);
  }
}
