import type { IncomingMessage } from "node:http";
import { FixityError } from "../../core/errors.ts";

/** Bytes held here while the consumer is busy; past them the socket waits (TCP back-pressure reaches the client). */
const HIGH_WATER = 64 * 1024;

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * A Node request's content as the async iterable of an exchange. Not the request's own iterator: that one destroys the
 * socket when a loop is left early, and the client could not read why.
 */
export class NodeBody implements AsyncIterableIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #onPull: () => void;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #waiting: { resolve: (result: Result) => void; reject: (error: unknown) => void } | null = null;
  #started = false;
  #paused = false;
  #left = false;
  #ended = false;
  #error: FixityError | null = null;
  #received = 0;

  /** @param onPull called once, before the first byte is asked for: the time to send `100 Continue` */
  constructor(request: IncomingMessage, onPull: () => void) {
    this.#request = request;
    this.#onPull = onPull;
  }

  /** Bytes of content that have come in so far. */
  get received(): number {
    return this.#received;
  }

  /** The last byte of the content has come in. */
  get complete(): boolean {
    return this.#ended || this.#request.complete;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    const bytes = this.#queue.shift();
    if (bytes !== undefined) {
      this.#queued -= bytes.length;
      return Promise.resolve({ done: false, value: bytes });
    }
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#flow();
    });
  }

  /** Leaving a loop early stops reading and closes nothing; whoever reads on throws away what comes. */
  return(): Promise<Result> {
    this.#left = true;
    this.#queue = [];
    this.#queued = 0;
    if (!this.#ended && this.#started) this.#pause();
    return Promise.resolve(DONE);
  }

  #flow(): void {
    if (this.#started) {
      if (this.#paused) {
        this.#paused = false;
        this.#request.resume();
      }
      return;
    }
    this.#started = true;
    this.#onPull();
    const request = this.#request;
    if (request.errored || request.destroyed) return this.#fail(request.errored);
    request.on("data", (bytes: Buffer) => this.#take(bytes));
    request.on("end", () => this.#end());
    request.on("error", (error) => this.#fail(error));
    request.on("close", () => this.#fail(null));
  }

  #pause(): void {
    this.#paused = true;
    this.#request.pause();
  }

  #take(bytes: Uint8Array): void {
    this.#received += bytes.length;
    const waiting = this.#waiting;
    if (waiting !== null) {
      this.#waiting = null;
      waiting.resolve({ done: false, value: bytes });
      return;
    }
    if (this.#left) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued >= HIGH_WATER) this.#pause();
  }

  #end(): void {
    this.#ended = true;
    this.#waiting?.resolve(DONE);
    this.#waiting = null;
  }

  #fail(cause: unknown): void {
    if (this.#ended || this.#error !== null) return;
    this.#error = new FixityError("upload-aborted", "The connection ended before the last byte.", { cause });
    this.#waiting?.reject(this.#error);
    this.#waiting = null;
  }
}
