import { setTimeout as sleep } from "node:timers/promises";
import { S3Error } from "./s3-error.ts";

/** Milliseconds: the longest first pause, and the longest of all. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;

/** How often and how long a call is repeated. */
export interface RetryLimits {
  readonly attempts: number;
  /** Milliseconds from the first attempt on, after which no other is begun. */
  readonly time: number;
}

/**
 * The attempts of one call: which failure is worth another, and the pause before it. Full jitter ("Exponential backoff and
 * jitter", AWS architecture blog): any time up to a limit that doubles, so that those who failed together do not come
 * back together.
 */
export class Attempts {
  readonly #limits: RetryLimits;
  readonly #deadline: number;
  #made = 0;

  constructor(limits: RetryLimits) {
    this.#limits = limits;
    this.#deadline = performance.now() + limits.time;
  }

  /**
   * Waits before the next attempt.
   *
   * @returns `false` where there is to be none
   */
  async another(failure: unknown, signal?: AbortSignal): Promise<boolean> {
    this.#made += 1;
    if (this.#made >= this.#limits.attempts) return false;
    const asked = failure instanceof S3Error ? (failure.retryAfter ?? 0) : 0;
    const pause = Math.max(asked, Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#made - 1)));
    if (performance.now() + pause > this.#deadline) return false;
    await pauseFor(pause, signal);
    return true;
  }
}

/** Does `work`, again where it fails in passing. It must be such that doing it twice is as good as once. */
export async function retrying<T>(
  limits: RetryLimits,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const attempts = new Attempts(limits);
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof S3Error && error.isTransient)) throw error;
      if (!(await attempts.another(error, signal))) throw error;
    }
  }
}

/** Waits for so many milliseconds, or fails with the signal's reason. */
export async function pauseFor(pause: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(pause, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Node wraps the reason; those who wait for it want it as it is.
    signal?.throwIfAborted();
  }
}
