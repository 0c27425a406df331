import { setImmediate as nextTurn } from "node:timers/promises";
import type { ByteSource } from "./intake.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * How long a reader whose upload is being taken over may still wait for its first bytes. Without
 * this grace, several requests for one upload could take it from each other for ever, before any of
 * them has received a byte.
 */
const FIRST_BYTES_GRACE_MS = 100;

/**
 * Turns of the event loop without a chunk after which everything that had arrived has been read. A
 * paused socket needs two: one to resume, one to be read.
 */
const QUIET_TURNS = 5;

/** Bounds on what is still read, while the service closes, from a sender that never pauses. */
const CLOSING_MAX_BYTES = 16 * 1024 * 1024;
const CLOSING_MAX_MS = 1_000;

/** What interrupts a reader before the end of its source. */
export interface Interruptions {
  /** Another request wants the upload: the next read fails. */
  readonly takeover?: AbortSignal;
  /** The service is closing: what has already arrived is read, then a read fails. */
  readonly closing?: AbortSignal | undefined;
}

/**
 * A source whose reader can be interrupted while it waits for bytes: the read then fails with the
 * signal's reason. It has one listener per signal for its whole life. (Racing each read against the
 * signal would leave one reaction behind per chunk.)
 */
export class InterruptibleSource implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #takeover: AbortSignal | undefined;
  readonly #closing: AbortSignal | undefined;
  /** Rejects the pending read; a different function for each read. */
  #reject: ((reason: unknown) => void) | null = null;
  #hasBegun = false;
  #firstBytesTimer: NodeJS.Timeout | null = null;
  /** Bytes and time that remain while the service closes. */
  #remaining = { bytes: CLOSING_MAX_BYTES, until: Infinity };

  constructor(source: ByteSource, { takeover, closing }: Interruptions) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.#takeover = takeover;
    this.#closing = closing;
    takeover?.addEventListener("abort", this.#onTakeover, { once: true });
    closing?.addEventListener("abort", this.#onClosing, { once: true });
    if (takeover?.aborted === true) this.#onTakeover();
    if (closing?.aborted === true) this.#onClosing();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#takeover?.aborted === true && this.#hasBegun) return this.#fail(this.#takeover.reason);
    if (this.#closing?.aborted === true && this.#isClosingOver) return this.#fail(this.#closing.reason);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      if (this.#closing?.aborted === true) void this.#interruptWhenQuiet();
      Promise.resolve(this.#source.next()).then(
        (result) => {
          this.#settle();
          if (result.done === true) return resolve(DONE);
          if (this.#closing?.aborted === true) this.#remaining.bytes -= result.value.length;
          resolve(result);
        },
        (error: unknown) => {
          this.#settle();
          reject(error);
        },
      );
    });
  }

  async return(): Promise<Result> {
    this.#leave();
    return DONE;
  }

  readonly #onTakeover = (): void => {
    if (this.#hasBegun) return this.#interrupt(this.#takeover?.reason);
    this.#firstBytesTimer = setTimeout(() => this.#interrupt(this.#takeover?.reason), FIRST_BYTES_GRACE_MS);
  };

  readonly #onClosing = (): void => {
    this.#remaining.until = performance.now() + CLOSING_MAX_MS;
    void this.#interruptWhenQuiet();
  };

  get #isClosingOver(): boolean {
    return this.#remaining.bytes <= 0 || performance.now() >= this.#remaining.until;
  }

  /** Fails the pending read unless it receives bytes that have already arrived. */
  async #interruptWhenQuiet(): Promise<void> {
    const pending = this.#reject;
    for (let turn = 0; turn < QUIET_TURNS; turn += 1) await nextTurn();
    if (pending !== null && this.#reject === pending) this.#interrupt(this.#closing?.reason);
  }

  #settle(): void {
    this.#reject = null;
    this.#hasBegun = true;
    this.#clearTimer();
  }

  #clearTimer(): void {
    if (this.#firstBytesTimer !== null) clearTimeout(this.#firstBytesTimer);
  }

  #interrupt(reason: unknown): void {
    this.#hasBegun = true;
    this.#reject?.(reason);
    this.#leave();
  }

  #fail(reason: unknown): Promise<never> {
    this.#leave();
    return Promise.reject(reason);
  }

  /** Does not wait for the source, which may never settle its pending read. */
  #leave(): void {
    this.#clearTimer();
    this.#takeover?.removeEventListener("abort", this.#onTakeover);
    this.#closing?.removeEventListener("abort", this.#onClosing);
    void Promise.resolve(this.#source.return?.()).catch(() => null);
  }
}
