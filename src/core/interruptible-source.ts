import { setImmediate as nextTurn } from "node:timers/promises";
import type { ByteSource } from "./intake.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * Milliseconds that a reader whose upload is wanted by another request waits for its first bytes. Without this, several
 * requests that want one upload at the same time would take it from each other before any of them has brought a byte.
 */
const FIRST_BYTES_MS = 100;

/**
 * Turns of the event loop without a chunk after which a stopped reader has everything that had arrived. A paused socket
 * needs two: one to be resumed, one to be read.
 */
const QUIET_TURNS = 5;

/** Bounds on what a stopped reader still takes of a sender that never pauses. */
const REST_MAX_BYTES = 16 * 1024 * 1024;
const REST_MAX_MS = 1_000;

/** What ends a reader before its source does. */
export interface Interruptions {
  /** Another request wants the upload: the next read fails. */
  readonly wanted?: AbortSignal;
  /** The service is being closed: what has already arrived is read, and then a read fails. */
  readonly stopped?: AbortSignal | undefined;
}

/**
 * A source whose reader can be interrupted while it waits for bytes: the read then fails with the signal's reason. It has
 * one listener per signal for its whole life; a race for each chunk would leave a reaction behind for every one.
 */
export class Interruptible implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #wanted: AbortSignal | undefined;
  readonly #stopped: AbortSignal | undefined;
  /** Rejects the read under way; another function for each read. */
  #reject: ((reason: unknown) => void) | null = null;
  #hasBegun = false;
  #firstBytes: NodeJS.Timeout | null = null;
  /** Bytes and milliseconds that a stopped reader may still take. */
  #rest = { bytes: REST_MAX_BYTES, until: Infinity };

  constructor(source: ByteSource, { wanted, stopped }: Interruptions) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.#wanted = wanted;
    this.#stopped = stopped;
    wanted?.addEventListener("abort", this.#onWanted, { once: true });
    stopped?.addEventListener("abort", this.#onStopped, { once: true });
    if (wanted?.aborted === true) this.#onWanted();
    if (stopped?.aborted === true) this.#onStopped();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#wanted?.aborted === true && this.#hasBegun) return this.#fail(this.#wanted.reason);
    if (this.#stopped?.aborted === true && this.#isRestTaken) return this.#fail(this.#stopped.reason);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      if (this.#stopped?.aborted === true) void this.#stopWhenQuiet();
      Promise.resolve(this.#source.next()).then(
        (result) => {
          this.#settle();
          if (result.done === true) return resolve(DONE);
          if (this.#stopped?.aborted === true) this.#rest.bytes -= result.value.length;
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

  readonly #onWanted = (): void => {
    if (this.#hasBegun) return this.#interrupt(this.#wanted?.reason);
    this.#firstBytes = setTimeout(() => this.#interrupt(this.#wanted?.reason), FIRST_BYTES_MS);
  };

  readonly #onStopped = (): void => {
    this.#rest.until = performance.now() + REST_MAX_MS;
    void this.#stopWhenQuiet();
  };

  get #isRestTaken(): boolean {
    return this.#rest.bytes <= 0 || performance.now() >= this.#rest.until;
  }

  /** Fails the read under way where it gets nothing of what has arrived. */
  async #stopWhenQuiet(): Promise<void> {
    const reading = this.#reject;
    for (let turn = 0; turn < QUIET_TURNS; turn += 1) await nextTurn();
    if (reading !== null && this.#reject === reading) this.#interrupt(this.#stopped?.reason);
  }

  #settle(): void {
    this.#reject = null;
    this.#hasBegun = true;
    this.#endFirstBytes();
  }

  #endFirstBytes(): void {
    if (this.#firstBytes !== null) clearTimeout(this.#firstBytes);
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

  /** Does not wait: a source that has not answered yet would let nobody leave. */
  #leave(): void {
    this.#endFirstBytes();
    this.#wanted?.removeEventListener("abort", this.#onWanted);
    this.#stopped?.removeEventListener("abort", this.#onStopped);
    void Promise.resolve(this.#source.return?.()).catch(() => null);
  }
}
