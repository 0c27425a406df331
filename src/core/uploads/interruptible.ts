import type { ByteSource } from "../hashing.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * A source whose reader can be called away in the middle of waiting for bytes: it then fails with the signal's reason. One
 * listener for the whole of it; a race for each chunk would leave a reaction behind for every one.
 */
export class Interruptible implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #signal: AbortSignal;
  #reject: ((reason: unknown) => void) | null = null;

  constructor(source: ByteSource, signal: AbortSignal) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.#signal = signal;
    signal.addEventListener("abort", this.#interrupt, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason as Error);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      Promise.resolve(this.#source.next()).then(
        (result) => resolve(result.done === true ? DONE : result),
        (error: unknown) => reject(error as Error),
      );
    });
  }

  async return(): Promise<Result> {
    this.#signal.removeEventListener("abort", this.#interrupt);
    this.#leave();
    return DONE;
  }

  readonly #interrupt = (): void => {
    this.#reject?.(this.#signal.reason);
    this.#leave();
  };

  /** Without waiting: a source that has not answered yet would let nobody leave. */
  #leave(): void {
    void Promise.resolve(this.#source.return?.()).catch(() => null);
  }
}
