import { delay } from "../base/abort-race.ts";
import { retryDelay } from "../base/retry-delay.ts";
import { asClientError, type FixityClientError } from "./errors.ts";
import type { Network } from "./platform.ts";
import type { RetryOptions, RetryWait, WaitReason } from "./types.ts";

/** {@link RetryOptions} with all defaults applied. */
export type RetryPolicy = Required<{ readonly [Name in keyof RetryOptions]: number }>;

/** The longest `Retry-After` that is obeyed. A longer one makes the error final. */
const RETRY_AFTER_MAX_MS = 10 * 60_000;

/** The longest timer that runtimes support, for waits that only the network ends. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Statuses by which a proxy reports that it cannot reach the server; from 520 on, Cloudflare's. */
const UNREACHABLE_STATUSES: ReadonlySet<number> = new Set([502, 504, 520, 521, 522, 523, 524]);

/** What can interrupt the attempts: the control of an upload, or the signal of a download. */
export interface AttemptControl {
  /** The signal of the current attempt. */
  readonly current: AbortSignal;
  /** Waits until an attempt may begin. @throws FixityClientError `aborted` */
  ready(): Promise<void>;
}

export interface RetrierOptions {
  readonly control: AttemptControl;
  readonly network: Network;
  readonly policy: RetryPolicy;
  /** Receives every wait when it begins, and `null` when it is over. */
  readonly onWait?: ((wait: RetryWait | null) => void) | undefined;
}

/**
 * Repeats a step until it succeeds: through interruptions, broken connections, times without
 * network, and busy servers.
 */
export class Retrier {
  readonly #control: AttemptControl;
  readonly #network: Network;
  readonly #policy: RetryPolicy;
  readonly #onWait: (wait: RetryWait | null) => void;
  /** Failures since a byte last arrived. */
  #failures = 0;

  constructor({ control, network, policy, onWait = () => undefined }: RetrierOptions) {
    this.#control = control;
    this.#network = network;
    this.#policy = policy;
    this.#onWait = onWait;
  }

  /**
   * Runs a step until it succeeds. An interrupted step runs again at once, and finds out by itself
   * what has changed.
   *
   * @throws FixityClientError `aborted`, an error that is not retryable, or the last one after too
   *   many attempts
   */
  async run<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#control.ready();
      const signal = this.#control.current;
      try {
        return await step(signal);
      } catch (error) {
        if (!signal.aborted) await this.#backOff(error);
      }
    }
  }

  /** Starts the count of failures over: bytes have arrived. */
  progressed(): void {
    this.#failures = 0;
  }

  async #backOff(thrown: unknown): Promise<void> {
    const error = asClientError(thrown);
    // repeating the last request does not correct wrong bytes
    if (!error.retryable || error.final || error.code === "digest-mismatch") throw error;
    if (error.status === null && !this.#network.isOnline()) {
      return this.#wait({ reason: "offline", until: null, error });
    }
    const { attempts, minDelay, maxDelay } = this.#policy;
    const requested = error.retryAfter ?? 0;
    if (this.#failures >= attempts || requested > RETRY_AFTER_MAX_MS) throw error;
    this.#failures += 1;
    const ms = requested + retryDelay(this.#failures, { firstMs: minDelay, maxMs: maxDelay });
    await this.#wait({ reason: waitReason(error), until: Date.now() + Math.ceil(ms), error });
  }

  /** Waits until the time is up, the network returns, or the attempt is interrupted. */
  async #wait(wait: RetryWait): Promise<void> {
    const { until, error } = wait;
    const awake = new AbortController();
    // a returning network does not shorten the time for which the server asked
    if (error.retryAfter === null) this.#network.onOnline(() => awake.abort(), awake.signal);
    this.#onWait(wait);
    const ms = until === null ? TIMER_MAX_MS : Math.min(Math.max(0, until - Date.now()), TIMER_MAX_MS);
    await delay(ms, AbortSignal.any([this.#control.current, awake.signal])).catch(() => null);
    awake.abort();
    this.#onWait(null);
  }
}

function waitReason({ status, retryAfter }: FixityClientError): WaitReason {
  if (status === null || UNREACHABLE_STATUSES.has(status)) return "unreachable";
  if (status === 429) return "rate-limited";
  return status === 503 || retryAfter !== null ? "busy" : "failed";
}
