import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { asFixityError } from "../../core/errors.ts";
import { type Answer, type AnswerStream, nextRequestId } from "../exchange.ts";
import type { Handler } from "../handler.ts";
import { Drain, drainLimits, keepsConnection } from "./drain.ts";
import { type NodeBody, NodeExchange, targetOf } from "./node-exchange.ts";

// Imported as an ES module, node:http also loads Node's copy of undici, for exports that nothing here
// uses: 40 ms of processor time, a tenth to a fifth of a server's start.
const { ServerResponse: NodeResponse, STATUS_CODES } = process.getBuiltinModule("node:http");

/**
 * A request listener: for `node:http`, and with `next` for Express, Connect and frameworks built on
 * them.
 */
export interface NodeListener {
  (request: IncomingMessage, response: ServerResponse, next?: () => void): void;
  /** Answers the requests. */
  readonly handler: Handler;
}

/**
 * The handler as a request listener. Requests outside its paths go to `next`, or get a 404 without
 * one.
 */
export function nodeListener(handler: Handler): NodeListener {
  const listener = (request: IncomingMessage, response: ServerResponse, next?: () => void): void => {
    if (next !== undefined && !handler.owns(targetOf(request))) return next();
    void runNode(handler, request, response);
  };
  return Object.assign(listener, { handler });
}

/**
 * Answers one Node request. Never rejects.
 *
 * @param native the request as the framework knows it
 */
export async function runNode(
  handler: Handler,
  request: IncomingMessage,
  response: ServerResponse,
  native: unknown = request,
): Promise<void> {
  // Node emits pipelined requests before it has sent the response to the first: one connection
  // could open a thousand downloads.
  if (response.socket === null && !(await socketAssigned(response))) return;
  try {
    await runExchange(handler, { request, response, native });
  } catch (error) {
    // A rejection that is not handled would end the process, and all other requests with it.
    response.destroy();
    const detail = error instanceof Error ? error.stack : String(error);
    process.emitWarning("a request could not be completed", { type: "FixityWarning", ...(detail && { detail }) });
  }
}

async function runExchange(
  handler: Handler,
  {
    request,
    response,
    native,
  }: { readonly request: IncomingMessage; readonly response: ServerResponse; readonly native: unknown },
): Promise<void> {
  const started = performance.now();
  const exchange = new NodeExchange(request, response, {
    id: nextRequestId(),
    native: [native],
    awaitsContinue: awaitingContinue.has(request),
    rateLimits: handler.rateLimits,
  });
  const { content } = exchange;
  let answer = await handler.handle(exchange);
  let sent: Sent;
  try {
    const pending = {
      request,
      response,
      body: content,
      awaitsContinue: exchange.awaitsContinue && !content.isStarted,
      idleTimeoutMs: handler.rateLimits.idleTimeoutMs,
      close: handler.isClosing,
    };
    sent = await sendAnswer(pending, answer);
  } catch (error) {
    sent = { bytes: 0, aborted: true };
    answer = { ...answer, note: { ...answer.note, error: asFixityError(error) } };
  }
  handler.report(exchange, answer, {
    durationMs: performance.now() - started,
    bytesReceived: content.received,
    bytesSent: sent.bytes,
    aborted: sent.aborted,
  });
}

/** Resolves when all earlier responses have been sent; `false` if the connection ends before. */
function socketAssigned(response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    response.once("socket", () => resolve(true));
    response.once("close", () => resolve(false));
  });
}

/** Requests that wait for a `100 Continue` from this adapter. */
const awaitingContinue = new WeakSet<IncomingMessage>();

/** The handlers of each server that {@link expectContinue} was called for. */
const continueHandlers = new WeakMap<Server, Set<Handler>>();

/**
 * Lets fixity send `100 Continue` on its own paths, so that an upload that is refused or already
 * stored is answered before its content is sent. Without this, Node sends the 100 at once. Other
 * paths are not affected.
 */
export function expectContinue(server: Server, { handler }: Pick<NodeListener, "handler">): void {
  const known = continueHandlers.get(server);
  if (known !== undefined) {
    known.add(handler);
    return;
  }
  const handlers = new Set([handler]);
  continueHandlers.set(server, handlers);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    const isOwned = handlers.values().some((candidate) => candidate.owns(targetOf(request)));
    if (isOwned) awaitingContinue.add(request);
    else response.writeContinue();
    server.emit("request", request, response);
  });
}

// Node takes the reason phrase of an interim response from this table only. Without an entry, the
// status line would be "104 unknown" (draft-ietf-httpbis-resumable-upload, section "HTTP Status
// Code").
STATUS_CODES[104] ??= "Upload Resumption Supported";

/**
 * Phrases that Node lacks, or has from an obsolete RFC (RFC 9110, sections 15.5.14 and 15.5.21;
 * tus, "Checksum").
 */
const REASONS: Readonly<Record<number, string>> = {
  413: "Content Too Large",
  422: "Unprocessable Content",
  460: "Checksum Mismatch",
};

/** The reason phrase of a status, or "" if it has none. */
export function reasonOf(status: number): string {
  return REASONS[status] ?? STATUS_CODES[status] ?? "";
}

/** The outcome of sending an answer. */
export interface Sent {
  /** Bytes of content written to the socket. */
  readonly bytes: number;
  /** Whether the client received less than the whole response. */
  readonly aborted: boolean;
}

/** A response that has not begun, and its request. */
export interface PendingResponse {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: NodeBody;
  /** Whether the client waits for a `100 Continue` that was not sent. */
  readonly awaitsContinue: boolean;
  /** Time for which the client may accept no byte of a streamed response. */
  readonly idleTimeoutMs: number;
  /** Whether the connection must end after the response. @default false */
  readonly close?: boolean;
}

/**
 * Responses that have been sent completely but not ended, because the request's content is still
 * arriving.
 */
const draining = new WeakSet<ServerResponse>();

export function isDraining(response: ServerResponse): boolean {
  return draining.has(response);
}

/** Bytes of content that are handed to the socket without waiting until the client accepts them. */
const UNPACED_MAX_BYTES = 64 * 1024;

/**
 * Sends an answer. Resolves when all of it has been written to the socket. Content that the client
 * is still sending is drained meanwhile and afterwards, see {@link Drain}.
 *
 * @throws any failure of a streamed answer, after the connection has been destroyed
 */
export async function sendAnswer(pending: PendingResponse, answer: Answer): Promise<Sent> {
  const { request, response, body, awaitsContinue, idleTimeoutMs, close = false } = pending;
  const content = paced(answer.body);
  const isStream = typeof content === "object" && !(content instanceof Uint8Array);
  if (response.destroyed) {
    if (isStream) await content[Symbol.asyncDispose]();
    return { bytes: 0, aborted: true };
  }
  const keeps = !close && keepsConnection({ status: answer.status, rest: body.missing, awaitsContinue });
  // HTTP/2 ends streams, not connections (RFC 9113, section 8.2.2).
  writeHead(response, answer, !keeps && request.httpVersionMajor < 2);
  const drain = body.isExhausted ? null : new Drain(body.rest(), drainLimits(keeps));
  // Within a stream, the client must notice that it is truncated.
  void drain?.ended.then((isComplete) => isComplete || isDraining(response) || response.destroy());
  if (isStream) {
    const sent = await sendStream(response, content, idleTimeoutMs);
    if (!sent.aborted) endAfter(drain, pending);
    return sent;
  }
  if (drain === null) {
    response.end(content);
  } else {
    // Written now and ended later, so that the client can read it while it is still sending.
    if (content === undefined) response.flushHeaders();
    else response.write(content);
    endAfter(drain, pending);
  }
  return { bytes: content === undefined ? 0 : Buffer.byteLength(content), aborted: false };
}

/**
 * Bytes in memory are sent like a stream if they may not fit a socket's buffer: a client that accepts
 * none of them must not keep them in memory for long.
 */
function paced(content: Answer["body"]): Answer["body"] {
  if (!(content instanceof Uint8Array) || content.length <= UNPACED_MAX_BYTES) return content;
  return {
    async *[Symbol.asyncIterator]() {
      yield content;
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Ends a response that has been written completely, once the drain has ended. */
function endAfter(drain: Drain | null, { request, response }: PendingResponse): void {
  if (drain === null) return void response.end();
  draining.add(response);
  void drain.answered().then((isComplete) => {
    if (response.destroyed) return;
    if (!isComplete) response.once("finish", () => request.destroy());
    // Middleware such as `express-session` replaces `end` by one that takes a callback for content.
    response.end();
  });
}

/** Writes the status line and the header section. */
function writeHead(response: ServerResponse, { status, fields, body }: Answer, close: boolean): void {
  // One flat list: setting each header separately costs more than the rest of a small response.
  const lines: string[] = [];
  for (const name of Object.keys(fields)) lines.push(name, fields[name] ?? "");
  if (fields["Content-Length"] === undefined) {
    if (typeof body === "string" || body instanceof Uint8Array) {
      lines.push("Content-Length", String(Buffer.byteLength(body)));
    } else if (body === undefined && status !== 204 && status !== 304) {
      lines.push("Content-Length", "0");
    }
  }
  if (close) lines.push("Connection", "close");
  response.writeHead(status, reasonOf(status), lines);
}

/**
 * Streams an answer's content at the client's pace, without ending the response. If the stream
 * fails, or the client accepts no byte for `idleTimeoutMs` while a file or a connection to a bucket
 * is held open for it, the connection is destroyed, so that a part is never mistaken for the whole.
 *
 * @throws any failure of the stream, after the connection has been destroyed
 */
async function sendStream(response: ServerResponse, stream: AnswerStream, idleTimeoutMs: number): Promise<Sent> {
  let bytes = 0;
  await using _ = stream;
  using writer = new PacedWriter(response, idleTimeoutMs);
  try {
    for await (const chunk of stream) {
      if (response.destroyed) return { bytes, aborted: true };
      bytes += chunk.length;
      await writer.write(chunk);
      if (writer.canRecycle) stream.recycle?.(chunk);
    }
  } catch (error) {
    const aborted = response.destroyed;
    response.destroy();
    if (aborted) return { bytes, aborted };
    throw error;
  }
  return { bytes, aborted: response.destroyed };
}

/** The longest timeout that Node supports. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * Writes the chunks of a streamed answer at the client's pace. A client that accepts no byte of a
 * chunk for a while is disconnected, because a file or a connection to a bucket is held open for
 * it. Time that the stream needs to produce a chunk does not count.
 *
 * The socket's own timeout serves the whole answer: it costs less than a timer per chunk, and only
 * the socket sees how much of a chunk the kernel has accepted.
 */
class PacedWriter implements Disposable {
  readonly #response: ServerResponse;
  /** `null` when the app is called without a socket, as by Fastify's `inject()`. */
  readonly #socket: Socket | null;
  /** The socket's timeout before this answer. */
  readonly #previousTimeoutMs: number;
  /** Resolves the pending write. */
  #resolve: (() => void) | null = null;
  #listensForDrain = false;

  constructor(response: ServerResponse, idleTimeoutMs: number) {
    this.#response = response;
    this.#socket = response.socket instanceof Socket ? response.socket : null;
    this.#previousTimeoutMs = this.#socket?.timeout ?? 0;
    this.#socket?.setTimeout(Math.min(idleTimeoutMs, MAX_TIMEOUT_MS));
    response.on("timeout", this.#onTimeout);
    response.on("close", this.#onWritten);
  }

  /** Resolves when the kernel has accepted the whole chunk, or the client has disconnected. */
  write(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#response.destroyed) return resolve();
      this.#resolve = resolve;
      // Middleware such as `compression` replaces `write` by one that drops the callback.
      if (!Object.hasOwn(this.#response, "write")) this.#response.write(chunk, this.#onWritten);
      else if (this.#response.write(chunk)) this.#onWritten();
      else this.#listenForDrain();
    });
  }

  /**
   * Whether the process is done with a chunk that has been written: Node calls back when the kernel
   * has its bytes. What other code makes of it, in a `write` of its own, is unknown.
   */
  get canRecycle(): boolean {
    return !this.#response.destroyed && this.#response.write === NodeResponse.prototype.write;
  }

  /** Restores the socket's timeout: a pipelined request has other limits. */
  [Symbol.dispose](): void {
    this.#socket?.setTimeout(this.#previousTimeoutMs);
    this.#response.off("timeout", this.#onTimeout);
    this.#response.off("close", this.#onWritten);
    if (this.#listensForDrain) this.#response.off("drain", this.#onWritten);
  }

  /**
   * One listener serves the whole answer. `compression` replaces `on`, but not `off`: a listener per
   * chunk would stay with its stream, however long the file is.
   */
  #listenForDrain(): void {
    if (this.#listensForDrain) return;
    this.#listensForDrain = true;
    this.#response.on("drain", this.#onWritten);
  }

  readonly #onWritten = (): void => {
    const resolve = this.#resolve;
    this.#resolve = null;
    resolve?.();
  };

  /**
   * With a listener, Node does not destroy the socket itself. The next chunk restarts the timeout.
   */
  readonly #onTimeout = (): void => {
    if (this.#resolve !== null) this.#response.destroy();
  };
}
