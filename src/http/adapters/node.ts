import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { asFixityError } from "../../core/errors.ts";
import type { Exchange, Fields } from "../exchange.ts";
import { authorityInTarget } from "../fields/host.ts";
import type { Handler } from "../handler.ts";
import { sendAnswer, type Sent } from "./node-answer.ts";
import { hasContent, isContentUsed, NodeBody } from "./node-exchange.ts";
import { nextRequestId } from "./request-id.ts";

/** Requests whose `100 Continue` is left to this adapter; see {@link expectContinue}. */
const unanswered = new WeakSet<IncomingMessage>();

/** An exchange over a Node request and its response. */
class NodeExchange implements Exchange {
  readonly id: string = nextRequestId();
  readonly method: string;
  readonly target: string;
  readonly authority: string | undefined;
  readonly httpVersion: string;
  readonly peerAddress: string | undefined;
  readonly fields: Fields;
  readonly trailers: Fields;
  readonly body: NodeBody;
  readonly hasContent: boolean;
  readonly isContentUsed: boolean;
  readonly awaitsContinue: boolean;
  readonly #response: ServerResponse;
  #signal: AbortSignal | null = null;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.method = request.method ?? "GET";
    this.target = targetOf(request);
    this.authority = authorityOf(request);
    this.httpVersion = request.httpVersion;
    this.peerAddress = request.socket.remoteAddress;
    this.fields = { get: (name) => joined(request.headers[name]) };
    this.trailers = { get: (name) => request.trailers[name] };
    this.hasContent = hasContent(request);
    this.isContentUsed = isContentUsed(request);
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
    const { body } = exchange;
    const awaitsContinue = exchange.awaitsContinue && !body.isStarted;
    const { idleTimeout, isClosing: close } = handler;
    sent = await sendAnswer({ request, response, body, awaitsContinue, idleTimeout, close }, answer);
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

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Express and Connect cut their mount path off `url` and keep the whole in `originalUrl`. */
type MountedRequest = IncomingMessage & { readonly originalUrl?: string };

function targetOf(request: MountedRequest): string {
  return originForm(request.originalUrl ?? request.url ?? "/");
}

/**
 * The host and port that a request is for. Where the target is absolute, its host replaces the `Host` field (RFC 9112,
 * section 3.2.2); HTTP/2 has a pseudo-header field instead (RFC 9113, section 8.3.1).
 */
export function authorityOf({ originalUrl, url = "/", headers }: MountedRequest): string | undefined {
  return authorityInTarget(originalUrl ?? url) ?? headers.host ?? (headers[":authority"] as string | undefined);
}

/** A target as path and query. "A server MUST accept the absolute-form in requests" (RFC 9112, section 3.2.2). */
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
