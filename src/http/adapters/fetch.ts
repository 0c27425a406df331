import { FixityError } from "../../core/errors.ts";
import {
  type Answer,
  type AnswerStream,
  type Exchange,
  type Fields,
  nextRequestId,
  type RateLimits,
  RateLimitedBody,
} from "../exchange.ts";
import type { Handler } from "../handler.ts";
import { Drain, drainLimits, keepsConnection } from "./drain.ts";
import { reasonOf } from "./node.ts";

type Result = IteratorResult<Uint8Array, undefined>;

/** Statuses whose `Response` cannot have a body (Fetch Standard, "null body status"). */
const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

const NO_FIELDS: Fields = { get: () => undefined };

/** A function of the Fetch standard's types, as Hono, Next, Bun and Deno expect it. */
export type FetchHandler = (request: Request, ...host: readonly unknown[]) => Promise<Response>;

/** Options that only hosts of the Fetch standard's types need. */
export interface FetchHostOptions {
  /**
   * Returns the IP address of the peer, which the standard's `Request` lacks. Without it there are
   * no limits per client.
   *
   * @param host the arguments that the host passes after the request, such as Deno's `info` or
   *   Bun's `server`
   */
  readonly peerAddress?: (request: Request, ...host: readonly unknown[]) => string | undefined;
}

/**
 * The handler over `Request` and `Response`. These types have neither trailer fields nor
 * `100 Continue`; everything else works as over Node's own types. Requests outside the handler's
 * paths get a 404.
 *
 * Hosts differ in what they do if a response is complete before the request is: `@hono/node-server`
 * reads for half a second, then destroys the connection. So here, too, an early response ends only
 * after the rest of the content has been drained. Its `Content-Length` tells the client earlier
 * that it is complete.
 */
export function fetchListener(handler: Handler, { peerAddress }: FetchHostOptions = {}): FetchHandler {
  return async (request, ...host) => {
    const started = performance.now();
    const exchange = new FetchExchange(request, host, {
      peerAddress: peerAddress?.(request, ...host),
      rateLimits: handler.rateLimits,
    });
    const answer = await handler.handle(exchange);
    const report = (bytesSent: number, aborted: boolean): void =>
      handler.report(exchange, answer, {
        durationMs: performance.now() - started,
        bytesReceived: exchange.content.received,
        bytesSent,
        aborted,
      });
    return toResponse(exchange.content, answer, report);
  };
}

class FetchExchange implements Exchange {
  readonly id: string = nextRequestId();
  readonly native: readonly unknown[];
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: Fields;
  readonly trailers: Fields = NO_FIELDS;
  readonly body: RateLimitedBody;
  /** The content without a limit on its rate, for the drain. */
  readonly content: FetchBody;
  readonly signal: AbortSignal;
  readonly hasContent: boolean;
  readonly isContentUsed: boolean;
  readonly awaitsContinue = false;
  readonly peerAddress: string | undefined;

  constructor(
    request: Request,
    others: readonly unknown[],
    { peerAddress, rateLimits }: { readonly peerAddress: string | undefined; readonly rateLimits: RateLimits },
  ) {
    this.native = [request, ...others];
    this.peerAddress = peerAddress;
    const { pathname, search, host } = new URL(request.url);
    this.method = request.method;
    this.target = pathname + search;
    this.authority = request.headers.get("host") ?? host;
    this.fields = { get: (name) => request.headers.get(name) ?? undefined };
    // Read before `body`: on some hosts, accessing the body of a request that has been read locks
    // it.
    const isUsed = request.bodyUsed;
    const { body } = request;
    this.hasContent = body !== null || request.headers.has("content-length");
    this.isContentUsed = isUsed || body?.locked === true;
    this.content = new FetchBody(this.isContentUsed ? null : body, request.headers.get("content-length"));
    this.body = new RateLimitedBody(this.content, rateLimits);
    this.signal = request.signal;
  }
}

/**
 * The content of a request, read by the route and then by the drain. If the connection ends early,
 * reads fail with `upload-aborted`.
 */
class FetchBody implements AsyncIterableIterator<Uint8Array> {
  received = 0;
  readonly #stream: ReadableStream<Uint8Array> | null;
  readonly #length: number;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #isDetached = false;
  #isEnded = false;

  constructor(stream: ReadableStream<Uint8Array> | null, length: string | null) {
    this.#stream = stream;
    this.#length = length === null ? Infinity : Number(length);
  }

  /** Bytes of content that have not arrived; `Infinity` if their number was not announced. */
  get missing(): number {
    return this.isExhausted ? 0 : this.#length - this.received;
  }

  get isExhausted(): boolean {
    return this.#stream === null || this.#isEnded;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Result> {
    if (this.#isDetached)
      throw new FixityError("upload-aborted", "The request was answered before its content was read.");
    return this.#next();
  }

  async return(): Promise<Result> {
    this.#isDetached = true;
    return { done: true, value: undefined };
  }

  /** Detaches the content from the route, at whatever position, and returns the unread rest. */
  rest(): { next(): Promise<Result> } {
    this.#isDetached = true;
    return { next: () => this.#next() };
  }

  /** Abandons the content. */
  cancel(): void {
    this.#reader?.cancel().catch(() => null);
  }

  async #next(): Promise<Result> {
    if (this.#stream === null) return { done: true, value: undefined };
    try {
      this.#reader ??= this.#stream.getReader();
      const { done, value } = await this.#reader.read();
      if (!done) {
        this.received += value.length;
        return { done, value };
      }
    } catch (cause) {
      throw new FixityError("upload-aborted", "The connection ended before the last byte.", { cause });
    }
    this.#isEnded = true;
    return { done: true, value: undefined };
  }
}

async function toResponse(
  content: FetchBody,
  { status, fields, body }: Answer,
  report: (bytesSent: number, aborted: boolean) => void,
): Promise<Response> {
  if (body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array)) {
    // Only GET gets a stream, and a `Request` for GET has no content.
    return new Response(toStream(body, report), { status, statusText: reasonOf(status), headers: fields });
  }
  const keeps = keepsConnection({ status, rest: content.missing, awaitsContinue: false });
  const drain = content.isExhausted ? null : new Drain(content.rest(), drainLimits(keeps));
  void drain?.ended.then((isComplete) => isComplete || content.cancel());
  const headers = keeps ? fields : { ...fields, Connection: "close" };
  const init = { status, statusText: reasonOf(status), headers };
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  report(bytes?.length ?? 0, false);
  if (drain === null) return new Response(body as string | undefined, init);
  if (bytes === undefined || NULL_BODY_STATUSES.has(status)) {
    // Without a body to hold open, the whole response must wait.
    await drain.answered();
    return new Response(null, init);
  }
  return new Response(streamUntilDrained(bytes, drain), {
    ...init,
    headers: { ...headers, "Content-Length": String(bytes.length) },
  });
}

/** A stream of `bytes` that ends when the drain does. */
function streamUntilDrained(bytes: Uint8Array, drain: Drain): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes),
    async pull(controller) {
      await drain.answered();
      controller.close();
    },
  });
}

/**
 * A pulled stream of an answer's content. A failure errors it, so that the server visibly breaks
 * the connection.
 */
function toStream(
  body: AnswerStream,
  report: (bytesSent: number, aborted: boolean) => void,
): ReadableStream<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let sent = 0;
  let isClosed = false;
  const close = async (aborted: boolean): Promise<void> => {
    // A client may disconnect while the last chunk is being read.
    if (isClosed) return;
    isClosed = true;
    await body[Symbol.asyncDispose]();
    report(sent, aborted);
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next();
        if (isClosed) return;
        if (done === true) {
          controller.close();
          await close(false);
        } else {
          sent += value.length;
          controller.enqueue(value);
        }
      } catch (error) {
        controller.error(error);
        await close(true);
      }
    },
    async cancel() {
      await iterator.return?.();
      await close(true);
    },
  });
}
