import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { asFixityError } from "../../core/errors.ts";
import type { Answer, Exchange, Fields } from "../exchange.ts";
import type { Handler } from "../handler.ts";
import { LINGER, linger } from "./linger.ts";
import { sendStream, type Sent, writeHead } from "./node-answer.ts";
import { NodeBody } from "./node-body.ts";
import { nextRequestId } from "./request-id.ts";

/** Content still to come that is waited for rather than closing the connection. */
const SMALL_REST = 64 * 1024;

/** Requests whose `100 Continue` is left to this adapter; see {@link expectContinue}. */
const unanswered = new WeakSet<IncomingMessage>();

/** An exchange over a Node request and its response. */
class NodeExchange implements Exchange {
  readonly id: string = nextRequestId();
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly trailers: Fields;
  readonly body: NodeBody;
  readonly hasContent: boolean;
  readonly awaitsContinue: boolean;
  readonly #response: ServerResponse;
  #signal: AbortSignal | null = null;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.method = request.method ?? "GET";
    this.target = targetOf(request);
    this.fields = { get: (name) => joined(request.headers[name]) };
    this.trailers = { get: (name) => request.trailers[name] };
    this.hasContent = hasContent(request);
    this.awaitsContinue = unanswered.has(request);
    this.#response = response;
    this.body = new NodeBody(request, () => {
      if (this.awaitsContinue) response.writeContinue();
    });
  }

  interim(status: number, fields: Readonly<Record<string, string>>): void {
    const response = this.#response;
    // HTTP/1.0 knows no interim answers (RFC 9110, section 15.2)
    if (response.headersSent || response.destroyed || response.req.httpVersion === "1.0") return;
    response.writeInformation(status, { ...fields });
  }

  // made when somebody asks for it: most requests end without
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

/** Runs one Node request through the handler. Never rejects. */
export async function runNode(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Node hands on what a client sends along with a request whose answer is not out: a thousand downloads would be open at
  // a time for one connection
  if (response.socket === null && !(await hasTurn(response))) return;
  const started = performance.now();
  const exchange = new NodeExchange(request, response);
  let answer = await handler.handle(exchange);
  let sent: Sent;
  try {
    const { idleTimeout, isClosing } = handler;
    sent = await send({ exchange, request, response, idleTimeout, isClosing }, answer);
  } catch (error) {
    sent = { bytes: 0, aborted: true };
    answer = { ...answer, note: { ...answer.note, error: asFixityError(error) } };
  }
  handler.report(exchange, answer, {
    durationMs: performance.now() - started,
    bytesReceived: exchange.body.received,
    bytesSent: sent.bytes,
    aborted: sent.aborted,
  });
}

/** Resolves when the answers before this one are out; `false` where the connection has ended before. */
function hasTurn(response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    response.once("socket", () => resolve(true));
    response.once("close", () => resolve(false));
  });
}

interface Sending {
  readonly exchange: NodeExchange;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Milliseconds that the client may take no byte of a stream. */
  readonly idleTimeout: number;
  /** The service is being closed, so the connection ends after this answer. */
  readonly isClosing: boolean;
}

async function send({ exchange, request, response, idleTimeout, isClosing }: Sending, answer: Answer): Promise<Sent> {
  const { body } = answer;
  const pending = exchange.hasContent && !exchange.body.complete;
  const isRestLong = pending && (exchange.awaitsContinue || restOf(request, exchange.body.received) > SMALL_REST);
  const close = isClosing || isRestLong;
  if (response.destroyed) {
    if (body !== undefined && typeof body === "object" && !(body instanceof Uint8Array))
      await body[Symbol.asyncDispose]();
    return { bytes: 0, aborted: true };
  }
  writeHead(response, answer, close);
  if (body !== undefined && typeof body === "object" && !(body instanceof Uint8Array))
    return sendStream(response, body, idleTimeout);
  if (!pending) {
    response.end(body);
  } else {
    // the answer first, so that the client can read it while it sends; the regular end when it has sent enough
    if (body === undefined) response.flushHeaders();
    else response.write(body);
    const complete = await linger(request, response, LINGER);
    if (!response.destroyed) response.end(() => complete || request.destroy());
  }
  return { bytes: body === undefined ? 0 : Buffer.byteLength(body), aborted: false };
}

/** The announced content that has not come in yet, in bytes; without an announcement, infinite. */
function restOf(request: IncomingMessage, received: number): number {
  const length = request.headers["content-length"];
  return length === undefined ? Infinity : Number(length) - received;
}

function hasContent(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  return coding !== undefined || length !== undefined;
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Express and Connect cut their mount path off `url` and keep the whole in `originalUrl`. */
function targetOf(request: IncomingMessage & { readonly originalUrl?: string }): string {
  return originForm(request.originalUrl ?? request.url ?? "/");
}

/**
 * A target as path and query. "A server MUST accept the absolute-form in requests" (RFC 9112, section 3.2.2); which host
 * it names is of no matter here.
 */
export function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  const [, rest] = /^https?:\/\/[^/?#]*(.*)$/i.exec(target) ?? [];
  if (rest === undefined) return target;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** A request listener: for `node:http`, and with `next` for Express, Connect and what is built on them. */
export interface NodeListener {
  (request: IncomingMessage, response: ServerResponse, next?: () => void): void;
  /** What answers the requests. */
  readonly handler: Handler;
}

/**
 * The handler as a request listener. Requests outside the handler's paths go to `next`, or get a 404 where there is none.
 */
export function nodeListener(handler: Handler): NodeListener {
  const listener = (request: IncomingMessage, response: ServerResponse, next?: () => void): void => {
    if (next !== undefined && !handler.owns(targetOf(request))) return next();
    void runNode(handler, request, response);
  };
  return Object.assign(listener, { handler });
}

const continued = new WeakMap<Server, Set<Handler>>();

/**
 * Leaves `100 Continue` to fixity on its own paths, so that an upload that is refused, or is there already, is answered
 * before its content is sent. Without this, Node says "continue" by itself. Other paths behave as before.
 */
export function expectContinue(server: Server, { handler }: Pick<NodeListener, "handler">): void {
  const known = continued.get(server);
  if (known !== undefined) {
    known.add(handler);
    return;
  }
  const handlers = new Set([handler]);
  continued.set(server, handlers);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    const ours = handlers.values().some((candidate) => candidate.owns(targetOf(request)));
    if (ours) unanswered.add(request);
    else response.writeContinue();
    server.emit("request", request, response);
  });
}
