import type { IncomingMessage } from "node:http";
import { FixityError } from "../../core/errors.ts";

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

/** Who waits for the next chunk. */
interface Waiting {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The content of a Node request as the async iterable of an exchange. Nothing is read ahead: bytes that the consumer does
 * not ask for wait in the client, behind TCP's back-pressure, and not in the memory of a server with a thousand requests.
 * This is not the request's own iterator, which destroys the socket when a loop is left early: the client could not read
 * why.
 *
 * It has two readers, one after the other: the route, by iterating, and when the request is answered the drain, by
 * {@link rest}.
 */
export class NodeBody implements AsyncIterableIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #onPull: () => void;
  /** Bytes announced; `NaN` where none are. */
  readonly #length: number;
  /** Chunks that arrived before a pause took effect. */
  #queue: Uint8Array[] = [];
  #waiting: Waiting | null = null;
  #isStarted = false;
  #isPaused = false;
  #isLeft = false;
  #isEnded = false;
  #error: FixityError | null = null;
  #received = 0;

  /** @param onPull called once, before the first byte is asked for: the time to send `100 Continue` */
  constructor(request: IncomingMessage, onPull: () => void = () => {}) {
    this.#request = request;
    this.#onPull = onPull;
    this.#length = Number(request.headers["content-length"] ?? Number.NaN);
  }

  /** Bytes of content that have arrived so far. */
  get received(): number {
    return this.#received;
  }

  /** Somebody has asked for content. */
  get isStarted(): boolean {
    return this.#isStarted;
  }

  /** Nothing is left to read. Node itself drops a content that arrived and that nobody has asked for. */
  get isExhausted(): boolean {
    return this.#isEnded || (!this.#isStarted && this.missing === 0);
  }

  /** Bytes of content that have not arrived yet; `Infinity` when their number was not announced. */
  get missing(): number {
    if (this.#isEnded || this.#request.complete || !hasContent(this.#request)) return 0;
    return Number.isNaN(this.#length) ? Infinity : this.#length - this.#received;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    // never "done", which would make a whole of the part that was read
    if (this.#isLeft) return Promise.reject(aborted("The request was answered before its content had been read."));
    return this.#next();
  }

  /** Stops reading and closes nothing: that is up to whoever sends the answer. */
  return(): Promise<Result> {
    this.#leave();
    return Promise.resolve(DONE);
  }

  /** Takes the content away from the route, wherever that stands, and returns what has not been read. For the drain. */
  rest(): { next(): Promise<Result> } {
    this.#leave();
    return { next: () => this.#next() };
  }

  #leave(): void {
    this.#isLeft = true;
    this.#queue = [];
    this.#waiting?.reject(aborted("The request was answered while its content was being read."));
    this.#waiting = null;
    if (this.#isStarted && !this.#isEnded) this.#pause();
  }

  #next(): Promise<Result> {
    const bytes = this.#queue.shift();
    if (bytes !== undefined) return Promise.resolve({ done: false, value: bytes });
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#isEnded) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#flow();
    });
  }

  #flow(): void {
    if (this.#isStarted) {
      if (this.#isPaused) {
        this.#isPaused = false;
        this.#request.resume();
      }
      return;
    }
    this.#isStarted = true;
    // a client that is answered already gets no 100
    if (!this.#isLeft) this.#onPull();
    const request = this.#request;
    // an empty content that a body parser has read
    if (request.readableEnded) return this.#end();
    if (request.errored || request.destroyed) return this.#fail(request.errored);
    request.on("data", (bytes: Buffer) => this.#take(bytes));
    request.on("end", () => this.#end());
    request.on("error", (error) => this.#fail(error));
    request.on("close", () => this.#fail(null));
    // "data" alone does not wake a request that somebody has paused
    request.resume();
  }

  #pause(): void {
    this.#isPaused = true;
    this.#request.pause();
  }

  #take(bytes: Uint8Array): void {
    this.#received += bytes.length;
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
    this.#isEnded = true;
    this.#waiting?.resolve(DONE);
    this.#waiting = null;
  }

  #fail(cause: unknown): void {
    if (this.#isEnded || this.#error !== null) return;
    this.#error = aborted("The connection ended before the last byte.", cause);
    this.#waiting?.reject(this.#error);
    this.#waiting = null;
  }
}

/** Whether a request has content, of no bytes perhaps (RFC 9112, section 6.3). */
export function hasContent(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  return coding !== undefined || length !== undefined;
}

/**
 * Whether somebody else has read the request's content, or a part of it, or has it decoded to text on the way: a body
 * parser that stands in front. What is left is not what the client has sent.
 */
export function isContentUsed(request: IncomingMessage): boolean {
  // no byte of an empty one can be missing
  if (!hasContent(request) || request.headers["content-length"] === "0") return false;
  return request.readableDidRead || request.readableEnded || request.readableEncoding !== null;
}

function aborted(message: string, cause?: unknown): FixityError {
  return new FixityError("upload-aborted", message, { cause });
}
