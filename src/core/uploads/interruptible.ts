import type { ByteSource } from "../hashing.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * Milliseconds that a reader who is called away before it had anything waits for its first bytes. Without them, several
 * who want one upload without a pause would all be called away as soon as they have it, and nobody would bring a byte.
 */
const FIRST_BYTES = 100;

/**
 * A source whose reader can be called away in the middle of waiting for bytes: it then fails with the signal's reason. One
 * listener for the whole of it; a race for each chunk would leave a reaction behind for every one.
 */
export class Interruptible implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #signal: AbortSignal;
  #reject: ((reason: unknown) => void) | null = null;
  #hasBegun = false;
  #patience: NodeJS.Timeout | null = null;

  constructor(source: ByteSource, signal: AbortSignal) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.#signal = signal;
    signal.addEventListener("abort", this.#interrupt, { once: true });
    if (signal.aborted) this.#interrupt();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#signal.aborted && this.#hasBegun) {
      this.#leave();
      return Promise.reject(this.#signal.reason as Error);
    }
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      Promise.resolve(this.#source.next()).then(
        (result) => {
          this.#begin();
          resolve(result.done === true ? DONE : result);
        },
        (error: unknown) => {
          this.#begin();
          reject(error);
        },
      );
    });
  }

  async return(): Promise<Result> {
    this.#leave();
    return DONE;
  }

  readonly #interrupt = (): void => {
    if (this.#hasBegun) return this.#callAway();
    this.#patience = setTimeout(() => this.#callAway(), FIRST_BYTES);
  };

  #begin(): void {
    this.#hasBegun = true;
    this.#endPatience();
  }

  #endPatience(): void {
    if (this.#patience !== null) clearTimeout(this.#patience);
  }

  #callAway(): void {
    this.#hasBegun = true;
    this.#reject?.(this.#signal.reason);
    this.#leave();
  }

  /** Without waiting: a source that has not answered yet would let nobody leave. */
  #leave(): void {
    this.#endPatience();
    this.#signal.removeEventListener("abort", this.#interrupt);
    void Promise.resolve(this.#source.return?.()).catch(() => null);
  }
}
