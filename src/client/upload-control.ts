import { abortRace } from "../base/abort-race.ts";
import type { Permit, Semaphore } from "../base/semaphore.ts";
import { abortError } from "./errors.ts";

/**
 * Pauses, resumes and cancels one upload. It also holds the upload's permit of the client's
 * semaphore: a paused upload releases it, so that another one can run.
 */
export class UploadControl {
  readonly #semaphore: Semaphore;
  readonly #permits: number;
  readonly #cancelled = new AbortController();
  #attempt = new AbortController();
  #resumed: PromiseWithResolvers<void> | null = null;
  #permit: Permit | null = null;

  /** @param permits how many of the semaphore's permits the upload needs */
  constructor(semaphore: Semaphore, permits: number) {
    this.#semaphore = semaphore;
    this.#permits = permits;
  }

  /** Aborted when the upload is cancelled. */
  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  /**
   * The signal of the current attempt: aborted when the upload is paused, cancelled or interrupted.
   */
  get current(): AbortSignal {
    return this.#attempt.signal;
  }

  get isPaused(): boolean {
    return this.#resumed !== null;
  }

  pause(): void {
    if (this.isPaused || this.signal.aborted) return;
    this.#resumed = Promise.withResolvers();
    this.interrupt();
  }

  resume(): void {
    this.#resumed?.resolve();
    this.#resumed = null;
  }

  cancel(reason: unknown): void {
    this.#cancelled.abort(reason);
    this.#attempt.abort(reason);
    this.resume();
  }

  /** Aborts the current attempt, so that the next one can do something better. */
  interrupt(): void {
    if (this.signal.aborted) return;
    const before = this.#attempt;
    this.#attempt = new AbortController();
    before.abort();
  }

  /** Waits until the upload is not paused and has a permit. @throws FixityClientError `aborted` */
  async ready(): Promise<void> {
    for (;;) {
      if (this.isPaused) this.release();
      while (this.#resumed !== null) await this.#resumed.promise;
      if (this.signal.aborted) throw abortError(this.signal);
      this.#permit ??= await this.#semaphore.acquire(this.#permits, this.current).catch(() => null); // interrupted
      if (this.#permit !== null && !this.isPaused) return;
    }
  }

  /** Returns the permit. */
  release(): void {
    this.#permit?.release();
    this.#permit = null;
  }

  /**
   * Waits for `work`, which knows no signal, within the current attempt.
   *
   * @throws the reason of its signal
   */
  wait<T>(work: Promise<T>): Promise<T> {
    return abortRace(work, this.current);
  }
}
