import { randomBytes } from "node:crypto";
import { FixityError } from "../core/errors.ts";

/**
 * One request, independent of any server's own types. The HTTP semantics depend on these few types
 * alone, so they exist once and can be tested without sockets. An adapter (`http/adapters/`) turns a
 * server's request into an {@link Exchange} and sends the {@link Answer}.
 */
export interface Exchange {
  /** Identifies this exchange in logs, and in `X-Request-Id` of a failure. */
  readonly id: string;
  /**
   * The server's own request, and what else the server passes with it: the arguments of the
   * embedder's `context`.
   */
  readonly native: readonly unknown[];
  /** The method, upper case. */
  readonly method: string;
  /** Path and query as received, not decoded: `/uploads?filename=a%20b.png`. */
  readonly target: string;
  /** The IP address of the peer, a client or a proxy, if the server provides it. */
  readonly peerAddress?: string | undefined;
  /**
   * The requested host and its port, if any, as the client wrote it: `files.example.com:8080`. From
   * the `Host` field, or from a target in absolute form. `undefined` if an HTTP/1.0 request names
   * none. Its value is arbitrary: links are never made from it.
   */
  readonly authority?: string | undefined;
  /** The client's version of HTTP, if the server provides it: `1.0`, `1.1`. */
  readonly httpVersion?: string;
  /** The request's header fields. */
  readonly fields: Fields;
  /** Whether the request has content, possibly of length 0 (RFC 9112, section 6.3). */
  readonly hasContent: boolean;
  /**
   * Whether other code, such as a body parser, has read some of the content: the rest must not be
   * stored.
   */
  readonly isContentUsed: boolean;
  /** The request's content. */
  readonly body: RequestBody;
  /** The request's trailer fields; complete once `body` has ended. */
  readonly trailers: Fields;
  /** Aborted if the client disconnects before the answer has been sent. */
  readonly signal: AbortSignal;
  /**
   * Sends an interim response (RFC 9110, section 15.2), if the client's version of HTTP has them
   * and the final response has not begun. Absent if the server cannot send any.
   */
  readonly interim?: (status: number, fields: Readonly<Record<string, string>>) => void;
  /**
   * Whether the client waits for `100 Continue`. The adapter sends it when `body` is first pulled.
   */
  readonly awaitsContinue: boolean;
}

/**
 * A request's content as it arrives, pulled chunk by chunk and iterated at most once. Leaving the
 * loop early does not close the connection: the adapter drains the rest. Fails with
 * `upload-aborted` if the client disconnects before the end, and with `upload-stalled` if the
 * client is too slow.
 */
export interface RequestBody extends AsyncIterable<Uint8Array> {
  /** Makes the pending read, and all later ones, fail with `reason`. */
  interrupt(reason: FixityError): void;
  /**
   * Calls `count` with the length of every chunk before it is delivered. If `count` throws or
   * rejects, so does the read.
   */
  meter(count: (bytes: number) => void | Promise<void>): void;
}

/**
 * Header or trailer fields by lower-case name. Repeated fields are joined by `, ` (RFC 9110,
 * section 5.3).
 */
export interface Fields {
  get(name: string): string | undefined;
}

/** The response to a request. */
export interface Answer {
  readonly status: number;
  /** By name, as written on the wire. */
  readonly fields: Readonly<Record<string, string>>;
  /**
   * Text, bytes, or a stream of exactly `Content-Length` bytes that the adapter iterates and
   * closes.
   */
  readonly body?: string | Uint8Array | AnswerStream | undefined;
  /** For the log: the subject of the exchange and its outcome. Never sent. */
  readonly note?: AnswerNote;
}

/** The content of a streamed answer. Disposing of it releases its resources, iterated or not. */
export interface AnswerStream extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Returns the memory of a chunk that has been sent. Adapters that keep chunks do not call it. */
  recycle?(chunk: Uint8Array): void;
}

/** What a log line may contain besides method, target and status. */
export interface AnswerNote {
  /** `sha256:<hex>`. */
  readonly digest?: string;
  /** Bytes of the blob. */
  readonly size?: number;
  readonly existed?: boolean;
  /** Who sent the request, unless anonymous: `token:ci`. */
  readonly principal?: string;
  /** The failure, with its cause. */
  readonly error?: Error;
}

/** The answer with additional fields. */
export function withFields(answer: Answer, fields: Readonly<Record<string, string>>): Answer {
  return { ...answer, fields: { ...answer.fields, ...fields } };
}

/**
 * JSON as the content of an answer. It ends with a newline, so that a shell's prompt follows on a
 * line of its own.
 */
export function jsonContent(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

const idPrefix = randomBytes(5).toString("hex");
let serial = 0;

/**
 * A unique id for one exchange: random per process, then counted. It never depends on what a client
 * sends.
 */
export function nextRequestId(): string {
  serial = (serial + 1) % Number.MAX_SAFE_INTEGER;
  return `${idPrefix}-${serial.toString(36)}`;
}

/** How slow a sender may be. */
export interface RateLimits {
  /** Milliseconds without a byte. */
  readonly idleTimeoutMs: number;
  /** The lowest average over each window; 0 for no limit. */
  readonly minBytesPerSecond: number;
  /** The length of a window, and thus the grace period of a new upload. */
  readonly windowMs: number;
}

type Result = IteratorResult<Uint8Array, undefined>;

/** The interval at which pending reads are checked. */
const CHECK_INTERVAL_MS = 250;

/**
 * A request's content with a lower limit on its rate: if the sender stalls or falls below the
 * minimum rate, reads fail with `upload-stalled`. Only time spent waiting for the sender counts, so
 * a slow store is never held against a client. There is no limit on the total time, which would cut
 * off honest long uploads.
 */
export class RateLimitedBody implements AsyncIterableIterator<Uint8Array>, RequestBody {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #limits: RateLimits;
  #reject: ((error: FixityError) => void) | null = null;
  #interruption: FixityError | null = null;
  #count: ((bytes: number) => void | Promise<void>) | null = null;
  /** When the pending read began, by `performance.now()`. */
  #pendingSince = 0;
  #windowWaitedMs = 0;
  #windowBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, limits: RateLimits) {
    this.#source = source[Symbol.asyncIterator]();
    this.#limits = limits;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#interruption !== null) return Promise.reject(this.#interruption);
    this.#pendingSince = performance.now();
    watch(this);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#source.next().then(
        (result) => {
          this.#settle();
          if (result.done !== true) this.#windowBytes += result.value.length;
          this.#deliver(result, resolve, reject);
        },
        (error: unknown) => {
          this.#settle();
          reject(error);
        },
      );
    });
  }

  async return(): Promise<Result> {
    this.#settle();
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  meter(count: (bytes: number) => void | Promise<void>): void {
    this.#count = count;
  }

  #deliver(result: Result, resolve: (result: Result) => void, reject: (error: unknown) => void): void {
    try {
      const counted = result.done === true ? undefined : this.#count?.(result.value.length);
      if (counted === undefined) resolve(result);
      else counted.then(() => resolve(result), reject);
    } catch (error) {
      reject(error);
    }
  }

  interrupt(reason: FixityError): void {
    this.#interruption = reason;
    this.#fail(reason);
  }

  /**
   * Fails the pending read if the sender is too slow. Called at intervals while a read is pending.
   */
  checkRate(now: number): void {
    const waitedMs = now - this.#pendingSince;
    if (waitedMs >= this.#limits.idleTimeoutMs) return this.#stall("No byte arrived for too long.");
    const { minBytesPerSecond, windowMs } = this.#limits;
    if (minBytesPerSecond === 0 || this.#windowWaitedMs + waitedMs < windowMs) return;
    if (this.#windowBytes < (minBytesPerSecond * windowMs) / 1000) return this.#stall("The bytes arrived too slowly.");
    // A new window begins now, but `#settle` will add the whole wait of the pending read.
    this.#windowBytes = 0;
    this.#windowWaitedMs = -waitedMs;
  }

  #settle(): void {
    if (this.#reject === null) return;
    this.#reject = null;
    this.#windowWaitedMs += performance.now() - this.#pendingSince;
    watched.delete(this);
  }

  #stall(message: string): void {
    this.#fail(new FixityError("upload-stalled", message));
  }

  #fail(error: FixityError): void {
    const reject = this.#reject;
    this.#settle();
    reject?.(error);
  }
}

// One timer for all pending reads, running only while there are any: a timer per read would cost
// more than the read.
const watched = new Set<RateLimitedBody>();
let timer: NodeJS.Timeout | null = null;

function watch(body: RateLimitedBody): void {
  watched.add(body);
  timer ??= setInterval(checkAll, CHECK_INTERVAL_MS).unref();
}

function checkAll(): void {
  if (watched.size === 0 && timer !== null) {
    clearInterval(timer);
    timer = null;
    return;
  }
  const now = performance.now();
  for (const body of watched) body.checkRate(now);
}
