import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import { closeGracefully, Drain, drainLimits, isClosing } from "../http/adapters/drain.ts";
import { authorityInTarget, NodeBody, originForm } from "../http/adapters/node-exchange.ts";
import { expectContinue, isDraining, nodeListener, sendAnswer } from "../http/adapters/node.ts";
import { nextRequestId } from "../http/exchange.ts";
import { hostIn } from "../http/fields/host.ts";
import type { Handler } from "../http/handler.ts";
import { problemAnswer } from "../http/problem.ts";

// Not imported: see src/http/adapters/node.ts.
const { createServer, STATUS_CODES } = process.getBuiltinModule("node:http");

/** The largest header section of a request. */
const HEADERS_MAX_BYTES = 16 * 1024;
/** The time within which the header section of a request must arrive. */
const HEADERS_TIMEOUT_MS = 20_000;
/** How often connections are checked for overdue header sections. */
const HEADERS_CHECK_INTERVAL_MS = 2_000;
/**
 * How long an idle connection stays open: longer than the 60 s of usual proxies, so that the proxy
 * is the one to close it.
 */
const KEEP_ALIVE_TIMEOUT_MS = 72_000;

/** Methods whose requests have no content worth reading (RFC 9110, section 9.3). */
const READING_METHODS: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Handles the requests of the server. */
export interface Listeners {
  /** Handles uploads, and refuses requests for unknown hosts. */
  readonly uploads: Handler;
  /** Handles requests outside the uploads. */
  readonly others: RequestListener;
  readonly clientErrors: ClientErrors;
}

/**
 * The server's socket side. Uploads are handled before the framework sees them, because its routing
 * costs a tenth of a small upload. They are also the only requests that may have content: the
 * handler of the uploads refuses content for any other path, which bounds how much of it is read.
 */
export function makeServer({ uploads, others, clientErrors }: Listeners): Server {
  const listener = nodeListener(uploads);
  const options = {
    maxHeaderSize: HEADERS_MAX_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: HEADERS_CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // Uploads have limits on silence and rate instead of one on their total time.
    requestTimeout: 0,
    // Checked here: Node's own response has no content.
    requireHostHeader: false,
  };
  const server = createServer(options, (request, response) => {
    if (isClosing(request.socket)) {
      request.resume();
      return;
    }
    clientErrors.expect(request.socket, response);
    // The host of an absolute target replaces the field (RFC 9112, section 3.2.2).
    const authority = authorityInTarget(request.url ?? "/");
    if (authority !== null) request.headers.host = authority;
    request.url = originForm(request.url ?? "/");
    if (!clientErrors.admits(request, response)) return;
    // Fastify would treat "*" as "/".
    const isForOthers =
      READING_METHODS.has(request.method) && request.url.startsWith("/") && uploads.answersTo(request.headers.host);
    listener(request, response, isForOthers ? () => void answerOthers(request, response) : undefined);
  });
  // Left to the routes: Node's own response has no content.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  expectContinue(server, listener);
  return server;

  /**
   * Content has no meaning in these requests (RFC 9110, section 9.3.1), so it is dropped before
   * they are handled.
   */
  async function answerOthers(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = new NodeBody(request);
    if (!body.isExhausted) {
      const isComplete = await new Drain(body.rest(), drainLimits(false)).answered();
      if (response.destroyed) return;
      if (!isComplete) response.shouldKeepAlive = false;
    }
    others(request, response);
  }
}

/**
 * Answers requests that Node cannot parse, that arrive too late, or that do not name their host,
 * with problem documents like all other errors. Then the connection is closed: gracefully, so that
 * the client can read the response, and soon, even if the client never closes its side.
 */
export class ClientErrors {
  readonly #log: Logger;
  /** The responses of each connection that may be incomplete, in their order. */
  readonly #responses = new WeakMap<Socket, ServerResponse[]>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** To be called with the response of every request that Node could parse. */
  expect(socket: Socket, response: ServerResponse): void {
    const responses = this.#responses.get(socket);
    if (responses === undefined) {
      this.#responses.set(socket, [response]);
      return;
    }
    while (responses[0]?.writableFinished === true) responses.shift();
    responses.push(response);
  }

  /**
   * Whether a request has exactly one well-formed `Host` (RFC 9112, section 3.2), or none in
   * HTTP/1.0; otherwise it is refused here. The host of an absolute target has already replaced
   * that of the field.
   */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const message = hostMistake(request);
    if (message === null) return true;
    const id = nextRequestId();
    const error = new FixityError("invalid-request", message);
    const answer = problemAnswer(error);
    const sending = {
      request,
      response,
      body: new NodeBody(request),
      awaitsContinue: false,
      idleTimeoutMs: 0,
      close: true,
    };
    // An answer without a stream cannot fail.
    void sendAnswer(sending, { ...answer, fields: { ...answer.fields, "X-Request-Id": id } });
    this.#log.info({ id, status: answer.status, code: error.code }, "a request could not be read");
    return false;
  }

  /**
   * Ends a connection on which no further request can be parsed, with a response unless another one
   * is being sent.
   */
  answer(error: NodeJS.ErrnoException, socket: Socket): void {
    // The parser reports the error again for every further chunk.
    if (isClosing(socket)) return;
    const incomplete = (this.#responses.get(socket) ?? []).filter((response) => !response.writableFinished);
    if (incomplete.some(isDraining)) return closeGracefully(socket, { hasContent: true });
    // In the middle of a response, a second one would be taken for a part of the file that is being
    // sent.
    if (error.code === "ECONNRESET" || !socket.writable || incomplete.some(({ headersSent }) => headersSent)) {
      socket.destroy();
      return;
    }
    const id = nextRequestId();
    const hasContent = incomplete.length > 0;
    const isTruncated = error.code === "HPE_INVALID_EOF_STATE" && hasContent;
    const failure = isTruncated ? truncated(error) : parseFailure(error);
    const { status, fields, body } = problemAnswer(failure);
    const content = typeof body === "string" ? body : "";
    const headers = {
      ...fields,
      "X-Request-Id": id,
      "Content-Length": Buffer.byteLength(content),
      Connection: "close",
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${content}`;
    closeGracefully(socket, { text, hasContent });
    // A truncated request has a log line of its own.
    const level = isTruncated ? "debug" : "info";
    this.#log[level]({ id, status, code: failure.code, cause: error.code }, "a request could not be read");
  }
}

function hostMistake({ rawHeaders, headers, httpVersion }: IncomingMessage): string | null {
  const count = countHostFields(rawHeaders);
  if (count > 1 || (count === 0 && httpVersion !== "1.0")) return "The request must have exactly one Host field.";
  if (headers.host === undefined || hostIn(headers.host) !== null) return null;
  return "The Host field, or the host in the request target, is malformed: it must be a host, optionally with a port.";
}

function countHostFields(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count;
}

function truncated(cause: Error): FixityError {
  return new FixityError("upload-aborted", "The connection ended before the last byte.", { cause });
}

function parseFailure(cause: NodeJS.ErrnoException): FixityError {
  if (cause.code === "HPE_HEADER_OVERFLOW") {
    return new FixityError("headers-too-large", "The header section is larger than 16 KiB.", { cause });
  }
  if (cause.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new FixityError("upload-stalled", "The header section of the request did not arrive in time.", { cause });
  }
  return new FixityError("invalid-request", "The request is not valid HTTP.", { cause });
}
