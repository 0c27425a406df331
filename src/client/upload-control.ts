import { abortRace } from "../base/abort-race.ts";
import { abortion } from "./service.ts";

/** Where an upload stands between its owner and its requests: going on, paused or stopped. */
export class Steering {
  readonly #whole = new AbortController();
  #request = new AbortController();
  #resumed: PromiseWithResolvers<void> | null = null;

  /** Aborted when the upload is stopped for good. */
  get signal(): AbortSignal {
    return this.#whole.signal;
  }

  /** For what is done now: aborted when it is paused, stopped or interrupted. */
  get current(): AbortSignal {
    return this.#request.signal;
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

  stop(reason: unknown): void {
    this.#whole.abort(reason);
    this.#request.abort(reason);
    this.resume();
  }

  /** Ends what is being done now: there is something better to do. */
  interrupt(): void {
    if (this.signal.aborted) return;
    const before = this.#request;
    this.#request = new AbortController();
    before.abort();
  }

  /** Waits while paused. @throws FixityClientError `aborted` */
  async whenGoing(): Promise<void> {
    while (this.#resumed !== null) await this.#resumed.promise;
    if (this.signal.aborted) throw abortion(this.signal);
  }

  /** Waits for something that does not know about signals. @throws FixityClientError `aborted` */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const { current } = this;
    try {
      return await abortRace(promise, current);
    } catch (error) {
      if (current.aborted) throw abortion(current);
      throw error;
    }
  }
}
