import { SharedTask } from "./shared-task.ts";

/**
 * Work of which at most one run per key is in progress: concurrent callers with the same key share
 * one run and its result or failure.
 */
export class SingleFlight<Result> {
  readonly #running = new Map<string, SharedTask<Result>>();

  /** Whether work is running for a key. */
  has(key: string): boolean {
    return this.#running.has(key);
  }

  /**
   * Joins the work that is running for `key`, or starts it. The signal passed to `work` is aborted
   * once every caller has left.
   *
   * @param signal ends this caller's wait
   * @throws the reason of `signal`, or what `work` throws
   */
  async run(key: string, work: (signal: AbortSignal) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    const running = this.#running.get(key);
    const task = running === undefined || running.isAbandoned ? this.#start(key, work) : running;
    return await task.wait(signal);
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<Result>): SharedTask<Result> {
    const task = new SharedTask(async (signal) => {
      try {
        return await work(signal);
      } finally {
        if (this.#running.get(key) === task) this.#running.delete(key);
      }
    });
    this.#running.set(key, task);
    return task;
  }
}
