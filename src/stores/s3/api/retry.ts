import { delay } from "../../../base/abort-race.ts";
import { retryDelay } from "../../../base/retry-delay.ts";
import { NO_CREDENTIALS, S3Error } from "./s3-error.ts";

const BACKOFF = { firstMs: 100, maxMs: 5_000 };

/** Attempts at what either passes within a second or does not pass at all, such as a conflict with another writer. */
const MAX_QUICK_ATTEMPTS = 5;

/** How long a call is repeated. */
export interface RetryLimits {
  /** Milliseconds from the first failure on, in which further attempts are begun. */
  readonly time: number;
  /** Most attempts; `Infinity` leaves it to the time. */
  readonly attempts: number;
}

/** What ends the attempts of a call early. */
export interface RetryEnds {
  /** Ends a pause at once; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The client has been closed: the call then fails with its last failure. */
  readonly closed?: AbortSignal | undefined;
  /** An attempt may take minutes by itself, so that the time counts from the first one on instead of its failure. */
  readonly isLong?: boolean | undefined;
  /** Called before each further attempt, with the failure of the one before. */
  readonly onRetry?: ((failure: S3Error) => void) | undefined;
}

/**
 * The attempts of one call: which failure is worth another, and the pause before it. Time ends them, not their number: a
 * gateway that restarts refuses connections within a millisecond, so that any number of attempts is soon used up, while the
 * bytes to be sent lie in memory and can wait. The last attempt is made at the very end of the time.
 */
export class Attempts {
  readonly #limits: RetryLimits;
  readonly #ends: RetryEnds;
  #deadline: number | null;
  #made = 0;

  constructor(limits: RetryLimits, ends: RetryEnds = {}) {
    this.#limits = limits;
    this.#ends = ends;
    this.#deadline = ends.isLong === true ? performance.now() + limits.time : null;
  }

  /**
   * Waits before the next attempt.
   *
   * @returns `false` if there is to be none
   */
  async another(failure: unknown): Promise<boolean> {
    const { signal, closed } = this.#ends;
    const now = performance.now();
    this.#deadline ??= now + this.#limits.time;
    this.#made += 1;
    const left = this.#deadline - now;
    if (this.#made >= mostAttempts(failure, this.#limits) || left <= 0 || closed?.aborted === true) return false;
    const asked = failure instanceof S3Error ? (failure.retryAfter ?? 0) : 0;
    if (asked > left) return false;
    const pause = Math.min(Math.max(asked, retryDelay(this.#made, BACKOFF)), left);
    const ends = [signal, closed].filter((end) => end !== undefined);
    try {
      await delay(pause, ends.length > 1 ? AbortSignal.any(ends) : ends[0]);
    } catch {
      signal?.throwIfAborted();
      return false;
    }
    return true;
  }
}

function mostAttempts(failure: unknown, { attempts }: RetryLimits): number {
  const isQuick = failure instanceof S3Error && (failure.status === 409 || failure.code === NO_CREDENTIALS);
  return isQuick ? Math.min(attempts, MAX_QUICK_ATTEMPTS) : attempts;
}

/** Does `work`, and again if it fails for a passing reason. `work` must be idempotent. */
export async function retrying<T>(limits: RetryLimits, ends: RetryEnds, work: () => Promise<T>): Promise<T> {
  const attempts = new Attempts(limits, ends);
  for (;;) {
    ends.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof S3Error && error.isTransient)) throw error;
      if (!(await attempts.another(error))) throw error;
      ends.onRetry?.(error);
    }
  }
}
