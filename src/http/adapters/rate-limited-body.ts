import { FixityError } from "../../core/errors.ts";

/** How slow a sender may be. */
export interface PaceLimits {
  /** Milliseconds without a byte. */
  readonly idleTimeout: number;
  /** Bytes per second that must come in over each `rateWindow`; 0 for any. */
  readonly minRate: number;
  /** Milliseconds over which `minRate` is measured: also the grace time of a new upload. */
  readonly rateWindow: number;
}

type Result = IteratorResult<Uint8Array, undefined>;

/** How often senders are looked at, in milliseconds. */
const TICK = 250;

/**
 * Incoming bytes under a watch: a sender that goes silent or falls below the minimum rate is ended with `upload-stalled`.
 * Only time spent waiting for the sender counts, so a slow store is never held against a client; and there is no limit on
 * the whole time, which would cut honest long uploads.
 */
export class PacedBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #limits: PaceLimits;
  #reject: ((error: FixityError) => void) | null = null;
  #interrupted: FixityError | null = null;
  /** When the wait under way began, by `performance.now()`. */
  #waitingSince = 0;
  #windowWaited = 0;
  #windowBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, limits: PaceLimits) {
    this.#source = source[Symbol.asyncIterator]();
    this.#limits = limits;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#interrupted !== null) return Promise.reject(this.#interrupted);
    this.#waitingSince = performance.now();
    watch(this);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#source.next().then(
        (result) => {
          this.#settle();
          if (result.done !== true) this.#windowBytes += result.value.length;
          resolve(result);
        },
        (error: unknown) => {
          this.#settle();
          reject(error);
        },
      );
    });
  }

  async return(): Promise<Result> {
    this.#settle();
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  /** Fails the read under way, and every later one. */
  interrupt(reason: FixityError): void {
    this.#interrupted = reason;
    this.#fail(reason);
  }

  /** Looks whether the sender is too slow; called every tick while a read is pending. */
  examine(now: number): void {
    const waited = now - this.#waitingSince;
    if (waited >= this.#limits.idleTimeout) return this.#stall("No byte came in for too long.");
    const { minRate, rateWindow } = this.#limits;
    if (minRate === 0 || this.#windowWaited + waited < rateWindow) return;
    if (this.#windowBytes < (minRate * rateWindow) / 1000) return this.#stall("The bytes came in too slowly.");
    this.#windowBytes = 0;
    this.#windowWaited = -waited;
  }

  #settle(): void {
    if (this.#reject === null) return;
    this.#reject = null;
    this.#windowWaited += performance.now() - this.#waitingSince;
    unwatch(this);
  }

  #stall(message: string): void {
    this.#fail(new FixityError("upload-stalled", message));
  }

  #fail(error: FixityError): void {
    const reject = this.#reject;
    this.#settle();
    reject?.(error);
  }
}

// One timer for all senders, running only while somebody is waited for: a timer per read would cost more than the read.
const watched = new Set<PacedBody>();
let timer: NodeJS.Timeout | null = null;

function watch(body: PacedBody): void {
  watched.add(body);
  timer ??= setInterval(tick, TICK).unref();
}

function unwatch(body: PacedBody): void {
  watched.delete(body);
}

function tick(): void {
  if (watched.size === 0 && timer !== null) {
    clearInterval(timer);
    timer = null;
    return;
  }
  const now = performance.now();
  for (const body of watched) body.examine(now);
}
