import type { IncomingMessage } from "node:http";
import { FixityError } from "../../core/errors.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * A Node request's content as the async iterable of an exchange. Nothing is read ahead: what a consumer leaves waiting waits
 * in the client, behind TCP's back-pressure, and not in the memory of a server with a thousand of them. Not the request's own iterator: that one destroys the
 * socket when a loop is left early, and the client could not read why.
 */
export class NodeBody implements AsyncIterableIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #onPull: () => void;
  /** Bytes announced; `NaN` where none are. */
  readonly #length: number;
  /** What comes in all the same before a pause has its effect. */
  #queue: Uint8Array[] = [];
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
    this.#length = Number(request.headers["content-length"] ?? Number.NaN);
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
    if (bytes !== undefined) return Promise.resolve({ done: false, value: bytes });
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
    if (this.#left) return;
    // the end behind the last byte is no content, and is let in
    if (this.#received !== this.#length) this.#pause();
    const waiting = this.#waiting;
    if (waiting === null) {
      this.#queue.push(bytes);
    } else {
      this.#waiting = null;
      waiting.resolve({ done: false, value: bytes });
    }
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
