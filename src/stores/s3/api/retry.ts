import { delay } from "../../../base/abort-race.ts";
import { retryDelay } from "../../../base/retry-delay.ts";
import { NO_CREDENTIAL_CHAIN, NO_CREDENTIALS, S3Error } from "./s3-error.ts";

const BACKOFF = { firstMs: 100, maxMs: 5_000 };

/**
 * Attempts after failures that pass within a second or not at all, such as a conflict with another
 * writer.
 */
const MAX_QUICK_ATTEMPTS = 5;

/** How long a request is retried. */
export interface RetryLimits {
  /** Milliseconds from the first failure on during which attempts are started. */
  readonly time: number;
  /** The most attempts; `Infinity` leaves it to `time`. */
  readonly attempts: number;
}

/** What ends the retries of a request early. */
export interface RetryOptions {
  /** Ends a wait at once; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The client is closed: the call then fails with its last failure. */
  readonly closed?: AbortSignal | undefined;
  /**
   * An attempt may take minutes by itself, so `time` counts from the first attempt instead of its
   * failure.
   */
  readonly isLongRunning?: boolean | undefined;
  /** Called before each further attempt, with the failure of the one before. */
  readonly onRetry?: ((failure: S3Error) => void) | undefined;
}

/**
 * Decides whether a request is tried again, and waits in between. Time limits the retries, not
 * their number: a gateway that restarts refuses connections within a millisecond, which would use
 * up any number of attempts, while the bytes to be sent are in memory and can wait. The last
 * attempt is made at the very end of the time.
 */
export class Retrier {
  readonly #limits: RetryLimits;
  readonly #options: RetryOptions;
  #deadline: number | null;
  #failures = 0;

  constructor(limits: RetryLimits, options: RetryOptions = {}) {
    this.#limits = limits;
    this.#options = options;
    this.#deadline = options.isLongRunning === true ? performance.now() + limits.time : null;
  }

  /**
   * Waits until the next attempt is due. Returns `false` if there is none.
   *
   * @throws the signal's reason
   */
  async waitToRetry(failure: unknown): Promise<boolean> {
    const { signal, closed } = this.#options;
    const now = performance.now();
    this.#deadline ??= now + this.#limits.time;
    this.#failures += 1;
    const remaining = this.#deadline - now;
    if (this.#failures >= maxAttempts(failure, this.#limits) || remaining <= 0 || closed?.aborted === true)
      return false;
    const requested = failure instanceof S3Error ? (failure.retryAfter ?? 0) : 0;
    if (requested > remaining) return false;
    const wait = Math.min(Math.max(requested, retryDelay(this.#failures, BACKOFF)), remaining);
    const signals = [signal, closed].filter((end) => end !== undefined);
    try {
      await delay(wait, signals.length > 1 ? AbortSignal.any(signals) : signals[0]);
    } catch {
      signal?.throwIfAborted();
      return false;
    }
    return true;
  }
}

function maxAttempts(failure: unknown, { attempts }: RetryLimits): number {
  if (!(failure instanceof S3Error)) return attempts;
  if (failure.code === NO_CREDENTIAL_CHAIN) return 1;
  const isQuick = failure.status === 409 || failure.code === NO_CREDENTIALS;
  return isQuick ? Math.min(attempts, MAX_QUICK_ATTEMPTS) : attempts;
}

/** Runs `work`, and again after each transient failure. `work` must be idempotent. */
export async function retry<T>(limits: RetryLimits, options: RetryOptions, work: () => Promise<T>): Promise<T> {
  const retrier = new Retrier(limits, options);
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof S3Error && error.isTransient)) throw error;
      if (!(await retrier.waitToRetry(error))) throw error;
      options.onRetry?.(error);
    }
  }
}
