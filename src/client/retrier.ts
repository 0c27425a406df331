import type { Network } from "./platform.ts";
import { asClientError } from "./service.ts";
import type { Turn } from "./turn.ts";
import type { Steering } from "./upload-control.ts";

/** {@link RetryOptions}, complete. */
export interface RetryPlan {
  readonly attempts: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly stallTimeout: number;
}

/** Milliseconds: a server that asks for a longer wait is not waited for. */
const PATIENCE = 10 * 60_000;

/** Does what may fail until it succeeds: through pauses, broken connections, times without network, and busy servers. */
export class Persistence {
  readonly #steering: Steering;
  readonly #turn: Turn;
  readonly #network: Network;
  readonly #plan: RetryPlan;
  #failures = 0;

  constructor(parts: {
    readonly steering: Steering;
    readonly turn: Turn;
    readonly network: Network;
    readonly plan: RetryPlan;
  }) {
    this.#steering = parts.steering;
    this.#turn = parts.turn;
    this.#network = parts.network;
    this.#plan = parts.plan;
  }

  /**
   * Runs a step until it succeeds. A step that was interrupted is run again at once and finds out what has changed.
   *
   * @throws FixityClientError what makes no sense to try again, or was tried too often; `aborted`
   */
  async run<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      await this.ready();
      const signal = this.#steering.current;
      try {
        return await step(signal);
      } catch (error) {
        if (!signal.aborted) await this.#backOff(error);
      }
    }
  }

  /** Waits for the upload's turn, and while it is paused; others go on in that time. @throws FixityClientError `aborted` */
  async ready(): Promise<void> {
    for (;;) {
      if (this.#steering.isPaused) this.#turn.leave();
      await this.#steering.whenGoing();
      const hasSlot = await this.#steering.wait(this.#turn.take()).then(
        () => true,
        () => false, // interrupted: by a pause, or for good
      );
      if (hasSlot && !this.#steering.isPaused) return;
    }
  }

  /** Something has arrived: failures are counted anew. */
  progressed(): void {
    this.#failures = 0;
  }

  async #backOff(thrown: unknown): Promise<void> {
    const error = asClientError(thrown);
    // bytes that were the wrong ones are not the right ones when the last request is sent again
    if (!error.retryable || error.final || error.code === "digest-mismatch") throw error;
    if (error.status === null && !this.#network.isOnline()) return this.#sleep(null);
    const { attempts, minDelay, maxDelay } = this.#plan;
    const asked = error.retryAfter ?? 0;
    if (this.#failures >= attempts || asked > PATIENCE) throw error;
    const longest = Math.min(maxDelay, minDelay * 2 ** this.#failures);
    this.#failures += 1;
    // "full jitter": clients that failed together do not come back together
    await this.#sleep(asked + Math.random() * longest);
  }

  /** Until the time is over, the network comes back, or the upload is steered. */
  #sleep(ms: number | null): Promise<void> {
    const { current } = this.#steering;
    const over = new AbortController();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        over.abort();
        resolve();
      };
      const timer = ms === null ? undefined : setTimeout(wake, ms);
      if (current.aborted) return wake();
      current.addEventListener("abort", wake, { signal: over.signal });
      this.#network.onOnline(wake, over.signal);
    });
  }
}
