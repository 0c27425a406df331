import { FixityError } from "../../core/errors.ts";
import type { RequestBody } from "../exchange.ts";

/** How slow a sender may be. */
export interface RateLimits {
  /** Milliseconds without a byte. */
  readonly idleTimeoutMs: number;
  /** The lowest average over each window; 0 for no limit. */
  readonly minBytesPerSecond: number;
  /** The length of a window, and thus the grace period of a new upload. */
  readonly windowMs: number;
}

type Result = IteratorResult<Uint8Array, undefined>;

/** The interval at which pending reads are checked. */
const CHECK_INTERVAL_MS = 250;

/**
 * A request's content with a lower limit on its rate: if the sender stalls or falls below the minimum rate, reads fail with
 * `upload-stalled`. Only time spent waiting for the sender counts, so a slow store is never held against a client. There is no
 * limit on the total time, which would cut off honest long uploads.
 */
export class RateLimitedBody implements AsyncIterableIterator<Uint8Array>, RequestBody {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #limits: RateLimits;
  #reject: ((error: FixityError) => void) | null = null;
  #interruption: FixityError | null = null;
  /** When the pending read began, by `performance.now()`. */
  #pendingSince = 0;
  #windowWaitedMs = 0;
  #windowBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, limits: RateLimits) {
    this.#source = source[Symbol.asyncIterator]();
    this.#limits = limits;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#interruption !== null) return Promise.reject(this.#interruption);
    this.#pendingSince = performance.now();
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

  interrupt(reason: FixityError): void {
    this.#interruption = reason;
    this.#fail(reason);
  }

  /** Fails the pending read if the sender is too slow. Called at intervals while a read is pending. */
  checkRate(now: number): void {
    const waitedMs = now - this.#pendingSince;
    if (waitedMs >= this.#limits.idleTimeoutMs) return this.#stall("No byte arrived for too long.");
    const { minBytesPerSecond, windowMs } = this.#limits;
    if (minBytesPerSecond === 0 || this.#windowWaitedMs + waitedMs < windowMs) return;
    if (this.#windowBytes < (minBytesPerSecond * windowMs) / 1000) return this.#stall("The bytes arrived too slowly.");
    this.#windowBytes = 0;
    this.#windowWaitedMs = -waitedMs;
  }

  #settle(): void {
    if (this.#reject === null) return;
    this.#reject = null;
    this.#windowWaitedMs += performance.now() - this.#pendingSince;
    watched.delete(this);
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

// One timer for all pending reads, running only while there are any: a timer per read would cost more than the read.
const watched = new Set<RateLimitedBody>();
let timer: NodeJS.Timeout | null = null;

function watch(body: RateLimitedBody): void {
  watched.add(body);
  timer ??= setInterval(checkAll, CHECK_INTERVAL_MS).unref();
}

function checkAll(): void {
  if (watched.size === 0 && timer !== null) {
    clearInterval(timer);
    timer = null;
    return;
  }
  const now = performance.now();
  for (const body of watched) body.checkRate(now);
}
