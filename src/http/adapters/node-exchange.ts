import type { IncomingMessage, ServerResponse } from "node:http";
import { FixityError } from "../../core/errors.ts";
import { type Exchange, type Fields, type RateLimits, RateLimitedBody } from "../exchange.ts";

/** What an exchange has besides the request and its response. */
export interface NodeExchangeOptions {
  readonly id: string;
  /** The request as the framework knows it. */
  readonly native: readonly unknown[];
  readonly awaitsContinue: boolean;
  readonly rateLimits: RateLimits;
}

/** A Node request, and the response to it, as an exchange. */
export class NodeExchange implements Exchange {
  readonly id: string;
  readonly native: readonly unknown[];
  readonly method: string;
  readonly target: string;
  readonly authority: string | undefined;
  readonly httpVersion: string;
  readonly peerAddress: string | undefined;
  readonly fields: Fields;
  readonly trailers: Fields;
  readonly body: RateLimitedBody;
  /** The content without a limit on its rate, for the drain. */
  readonly content: NodeBody;
  readonly hasContent: boolean;
  readonly isContentUsed: boolean;
  readonly awaitsContinue: boolean;
  readonly #response: ServerResponse;
  #signal: AbortSignal | null = null;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    { id, native, awaitsContinue, rateLimits }: NodeExchangeOptions,
  ) {
    this.id = id;
    this.native = native;
    this.method = request.method ?? "GET";
    this.target = targetOf(request);
    this.authority = authorityOf(request);
    this.httpVersion = request.httpVersion;
    this.peerAddress = request.socket.remoteAddress;
    this.fields = { get: (name) => joined(request.headers[name]) };
    this.trailers = { get: (name) => request.trailers[name] };
    this.hasContent = hasContent(request);
    this.isContentUsed = isContentUsed(request);
    this.awaitsContinue = awaitsContinue;
    this.#response = response;
    this.content = new NodeBody(request, () => {
      if (awaitsContinue) response.writeContinue();
    });
    this.body = new RateLimitedBody(this.content, rateLimits);
  }

  interim(status: number, fields: Readonly<Record<string, string>>): void {
    const response = this.#response;
    // HTTP/1.0 has no interim responses (RFC 9110, section 15.2).
    if (response.headersSent || response.destroyed || response.req.httpVersion === "1.0") return;
    response.writeInformation(status, { ...fields });
  }

  // Created on first use: most requests never need it.
  get signal(): AbortSignal {
    if (this.#signal === null) {
      const controller = new AbortController();
      this.#signal = controller.signal;
      const response = this.#response;
      response.on("close", () => {
        if (!response.writableFinished) controller.abort();
      });
    }
    return this.#signal;
  }
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Express and Connect remove their mount path from `url` and keep the whole in `originalUrl`. */
type MountedRequest = IncomingMessage & { readonly originalUrl?: string };

export function targetOf(request: MountedRequest): string {
  return originForm(request.originalUrl ?? request.url ?? "/");
}

/**
 * The requested host and port. The host of a target in absolute form replaces the `Host` field (RFC
 * 9112, section 3.2.2). HTTP/2 has a pseudo-header field instead (RFC 9113, section 8.3.1).
 */
function authorityOf({ originalUrl, url = "/", headers }: MountedRequest): string | undefined {
  return authorityInTarget(originalUrl ?? url) ?? headers.host ?? (headers[":authority"] as string | undefined);
}

/**
 * The authority in a request target in absolute form (RFC 9112, section 3.2.2); `null` for the
 * other forms.
 */
export function authorityInTarget(target: string): string | null {
  return /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1] ?? null;
}

/**
 * A target as path and query. "A server MUST accept the absolute-form in requests" (RFC 9112,
 * section 3.2.2).
 */
export function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  const [, rest] = /^https?:\/\/[^/?#]*(.*)$/i.exec(target) ?? [];
  if (rest === undefined) return target;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

type Result = IteratorResult<Uint8Array, undefined>;

const DONE: Result = { done: true, value: undefined };

interface PendingRead {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The content of a Node request as an async iterable. Nothing is read ahead: backpressure keeps
 * bytes that the consumer has not pulled in the client, and not in the memory of a server with a
 * thousand requests. The request's own iterator is unsuitable: it destroys the socket when a loop
 * exits early, so the client could not read the response.
 *
 * There are two consumers, one after the other: the route, by iterating, and after the answer the
 * drain, by {@link rest}.
 */
export class NodeBody implements AsyncIterableIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #onPull: () => void;
  /** Announced bytes; `NaN` if their number was not announced. */
  readonly #length: number;
  /** Chunks that arrived before a pause took effect. */
  #queue: Uint8Array[] = [];
  #pending: PendingRead | null = null;
  #isStarted = false;
  #isPaused = false;
  #isDetached = false;
  #isEnded = false;
  #error: FixityError | null = null;
  #received = 0;

  /** @param onPull called once, before the first byte is pulled: the time to send `100 Continue` */
  constructor(request: IncomingMessage, onPull: () => void = () => {}) {
    this.#request = request;
    this.#onPull = onPull;
    this.#length = Number(request.headers["content-length"] ?? Number.NaN);
  }

  /** Bytes of content that have arrived. */
  get received(): number {
    return this.#received;
  }

  /** Whether content has been pulled. */
  get isStarted(): boolean {
    return this.#isStarted;
  }

  /**
   * Whether nothing is left to read. Node itself drops content that has arrived and was never
   * pulled.
   */
  get isExhausted(): boolean {
    return this.#isEnded || (!this.#isStarted && this.missing === 0);
  }

  /** Bytes of content that have not arrived; `Infinity` if their number was not announced. */
  get missing(): number {
    if (this.#isEnded || this.#request.complete || !hasContent(this.#request)) return 0;
    return Number.isNaN(this.#length) ? Infinity : this.#length - this.#received;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    // Never "done", which would make the part that was read look complete.
    if (this.#isDetached) return Promise.reject(aborted("The request was answered before its content had been read."));
    return this.#next();
  }

  /**
   * Stops reading without closing anything: `sendAnswer` decides whether to keep the connection.
   */
  return(): Promise<Result> {
    this.#detach();
    return Promise.resolve(DONE);
  }

  /**
   * Detaches the content from the route, at whatever position, and returns the unread rest. For the
   * drain.
   */
  rest(): { next(): Promise<Result> } {
    this.#detach();
    return { next: () => this.#next() };
  }

  #detach(): void {
    this.#isDetached = true;
    this.#queue = [];
    this.#pending?.reject(aborted("The request was answered while its content was being read."));
    this.#pending = null;
    if (this.#isStarted && !this.#isEnded) this.#pause();
  }

  #next(): Promise<Result> {
    const bytes = this.#queue.shift();
    if (bytes !== undefined) return Promise.resolve({ done: false, value: bytes });
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#isEnded) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
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
    // A client that has been answered must not get a 100.
    if (!this.#isDetached) this.#onPull();
    const request = this.#request;
    // A body parser has read an empty content.
    if (request.readableEnded) return this.#end();
    if (request.errored || request.destroyed) return this.#fail(request.errored);
    request.on("data", (bytes: Buffer) => this.#accept(bytes));
    request.on("end", () => this.#end());
    request.on("error", (error) => this.#fail(error));
    request.on("close", () => this.#fail(null));
    // A "data" listener does not resume a request that was paused explicitly.
    request.resume();
  }

  #pause(): void {
    this.#isPaused = true;
    this.#request.pause();
  }

  #accept(bytes: Uint8Array): void {
    this.#received += bytes.length;
    // After the last byte only the end of the message follows, which must not be held up.
    if (this.#received !== this.#length) this.#pause();
    const pending = this.#pending;
    if (pending === null) {
      this.#queue.push(bytes);
    } else {
      this.#pending = null;
      pending.resolve({ done: false, value: bytes });
    }
  }

  #end(): void {
    this.#isEnded = true;
    this.#pending?.resolve(DONE);
    this.#pending = null;
  }

  #fail(cause: unknown): void {
    if (this.#isEnded || this.#error !== null) return;
    this.#error = aborted("The connection ended before the last byte.", cause);
    this.#pending?.reject(this.#error);
    this.#pending = null;
  }
}

/** Whether a request has content, possibly of length 0 (RFC 9112, section 6.3). */
function hasContent(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  return coding !== undefined || length !== undefined;
}

/**
 * Whether other code, such as a body parser, has read some of the request's content, or has it
 * decoded to text. The rest is not what the client sent.
 */
function isContentUsed(request: IncomingMessage): boolean {
  // No byte of an empty content can be missing.
  if (!hasContent(request) || request.headers["content-length"] === "0") return false;
  return request.readableDidRead || request.readableEnded || request.readableEncoding !== null;
}

function aborted(message: string, cause?: unknown): FixityError {
  return new FixityError("upload-aborted", message, { cause });
}
