import { FixityError } from "../../core/errors.ts";
import type { Answer, AnswerStream, Exchange, Fields } from "../exchange.ts";
import type { Handler } from "../handler.ts";
import { reasonOf } from "./node-answer.ts";
import { nextRequestId } from "./request-id.ts";

const NO_FIELDS: Fields = { get: () => undefined };

/** A function of the Fetch standard's types, as Hono, Next, Bun and Deno take it. */
export type FetchHandler = (request: Request) => Promise<Response>;

/**
 * The handler over `Request` and `Response`. These types know no trailer fields and no `100 Continue`; everything else is
 * as over Node's own. Requests outside the handler's paths get a 404.
 */
export function fetchListener(handler: Handler): FetchHandler {
  return async (request) => {
    const started = performance.now();
    const exchange = new FetchExchange(request);
    const answer = await handler.handle(exchange);
    const report = (bytesSent: number, aborted: boolean): void =>
      handler.report(exchange, answer, {
        durationMs: performance.now() - started,
        bytesReceived: exchange.body.received,
        bytesSent,
        aborted,
      });
    return toResponse(answer, report);
  };
}

class FetchExchange implements Exchange {
  readonly id: string = nextRequestId();
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly trailers: Fields = NO_FIELDS;
  readonly body: FetchBody;
  readonly signal: AbortSignal;
  readonly hasContent: boolean;
  readonly awaitsContinue = false;

  constructor(request: Request) {
    const { pathname, search } = new URL(request.url);
    this.method = request.method;
    this.target = pathname + search;
    this.fields = { get: (name) => request.headers.get(name) ?? undefined };
    this.hasContent = request.body !== null || request.headers.has("content-length");
    this.body = new FetchBody(request.body);
    this.signal = request.signal;
  }
}

/** A request's content; a connection that ends early is an aborted upload. */
class FetchBody implements AsyncIterable<Uint8Array> {
  received = 0;
  readonly #stream: ReadableStream<Uint8Array> | null;

  constructor(stream: ReadableStream<Uint8Array> | null) {
    this.#stream = stream;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.#stream === null) return;
    const reader = this.#stream.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this.received += value.length;
        yield value;
      }
    } catch (cause) {
      throw new FixityError("upload-aborted", "The connection ended before the last byte.", { cause });
    } finally {
      reader.releaseLock();
    }
  }
}

function toResponse(answer: Answer, report: (bytesSent: number, aborted: boolean) => void): Response {
  const { status, fields, body } = answer;
  const init = { status, statusText: reasonOf(status), headers: fields };
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
    report(body === undefined ? 0 : Buffer.byteLength(body), false);
    return new Response(body as string | undefined, init);
  }
  return new Response(toStream(body, report), init);
}

/** A pulled stream over an answer's content; a failure errors it, so that the server ends the connection visibly. */
function toStream(
  body: AnswerStream,
  report: (bytesSent: number, aborted: boolean) => void,
): ReadableStream<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let sent = 0;
  const close = async (aborted: boolean): Promise<void> => {
    await body[Symbol.asyncDispose]();
    report(sent, aborted);
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next();
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
