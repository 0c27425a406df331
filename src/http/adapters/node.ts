import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { asFixityError } from "../../core/errors.ts";
import { nextRequestId } from "../exchange.ts";
import type { Handler } from "../handler.ts";
import { sendAnswer, type Sent } from "./node-answer.ts";
import { NodeExchange, targetOf } from "./node-exchange.ts";

/** A request listener: for `node:http`, and with `next` for Express, Connect and frameworks built on them. */
export interface NodeListener {
  (request: IncomingMessage, response: ServerResponse, next?: () => void): void;
  /** Answers the requests. */
  readonly handler: Handler;
}

/** The handler as a request listener. Requests outside its paths go to `next`, or get a 404 without one. */
export function nodeListener(handler: Handler): NodeListener {
  const listener = (request: IncomingMessage, response: ServerResponse, next?: () => void): void => {
    if (next !== undefined && !handler.owns(targetOf(request))) return next();
    void runNode(handler, request, response);
  };
  return Object.assign(listener, { handler });
}

/** Answers one Node request. Never rejects. */
export async function runNode(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Node emits pipelined requests before the response to the first is out: one connection could open a thousand downloads.
  if (response.socket === null && !(await socketAssigned(response))) return;
  const started = performance.now();
  const exchange = new NodeExchange(request, response, {
    id: nextRequestId(),
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

/** Resolves when the preceding responses are out; with `false` if the connection ends before. */
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
 * Leaves `100 Continue` to fixity on its own paths, so that an upload that is refused or already stored is answered before its
 * content is sent. Without this, Node sends 100 by itself. Other paths are not affected.
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
