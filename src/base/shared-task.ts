import { abortRace } from "./abort-race.ts";

/**
 * Work that is started once and that several callers wait for. A caller whose signal is aborted
 * stops waiting without affecting the others. When the last one has stopped waiting, the work is
 * abandoned: its signal is aborted.
 */
export class SharedTask<Result> {
  readonly #controller = new AbortController();
  readonly #result: Promise<Result>;
  readonly #onUnused: (result: Result) => void;
  #waiting = 0;
  #settled: { readonly result: Result } | "failed" | null = null;

  /**
   * @param work begins in a microtask, so that its creator can first make the task known
   * @param onUnused receives the result once the last caller has left, to free whatever none of
   *   them has taken. Also called if abandoned work succeeds
   */
  constructor(work: (signal: AbortSignal) => Promise<Result>, onUnused: (result: Result) => void = () => undefined) {
    this.#onUnused = onUnused;
    this.#result = Promise.resolve(this.#controller.signal).then(work);
    this.#result.then(
      (result) => {
        this.#settled = { result };
        if (this.#waiting === 0) this.#onUnused(result);
      },
      () => {
        this.#settled = "failed";
      },
    );
  }

  /** Whether the work has been abandoned, so that a new caller needs another task. */
  get isAbandoned(): boolean {
    return this.#controller.signal.aborted;
  }

  /**
   * Waits for the result.
   *
   * @throws the failure of the work, or the reason of `signal`
   */
  wait(signal?: AbortSignal): Promise<Result> {
    return this.use((result) => result, signal);
  }

  /**
   * Waits for the result and passes it to `take`, which runs before the result can become unused.
   *
   * @throws as {@link wait}, and what `take` throws
   */
  async use<Value>(take: (result: Result) => Value, signal?: AbortSignal): Promise<Value> {
    this.#waiting += 1;
    try {
      return take(await abortRace(this.#result, signal));
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#leave();
    }
  }

  #leave(): void {
    if (this.#settled === null) this.#controller.abort();
    else if (this.#settled !== "failed") this.#onUnused(this.#settled.result);
  }
}
