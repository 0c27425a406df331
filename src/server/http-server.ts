import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { expectContinue, nodeListener, originForm } from "../http/adapters/node.ts";
import type { Handler } from "../http/handler.ts";
import type { ClientErrors } from "./client-errors.ts";

/** Bytes of a request's header section. */
const MAX_HEADER_SIZE = 16 * 1024;
/** Milliseconds for a request's header section to come in. */
const HEADERS_TIMEOUT = 20_000;
/** Milliseconds that an idle connection is kept: longer than the 60 s of usual proxies, who must be the ones to close. */
const KEEP_ALIVE = 72_000;

/** Methods whose requests have no content worth reading (RFC 9110, section 9.3). */
const READING: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Who answers a server's requests. */
export interface Listeners {
  readonly uploads: Handler;
  /** Answers what is not the uploads'. */
  readonly others: RequestListener;
  readonly clientErrors: ClientErrors;
}

/**
 * The server's socket side. Uploads are answered before the framework sees them: its routing costs a tenth of a small one.
 * They are also the only ones that take content: a request that brings some to another address is refused by the uploads'
 * own rules, which end it after a while, however slowly or long it sends.
 */
export function makeServer({ uploads, others, clientErrors }: Listeners): Server {
  const listener = nodeListener(uploads);
  const limits = {
    maxHeaderSize: MAX_HEADER_SIZE,
    headersTimeout: HEADERS_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE,
    // uploads have limits on silence and rate instead of one on the whole time
    requestTimeout: 0,
    // Node's own answer has no content
    requireHostHeader: false,
  };
  const server = createServer(limits, (request, response) => {
    clientErrors.expect(request.socket, response);
    request.url = originForm(request.url ?? "/");
    if (!clientErrors.admits(request, response)) return;
    // the framework takes "*" for "/"
    const isForOthers = READING.has(request.method) && request.url.startsWith("/");
    listener(request, response, isForOthers ? () => readOthers(request, response) : undefined);
  });
  // left to the routes; Node's own answer has no content
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  expectContinue(server, listener);
  return server;

  function readOthers(request: IncomingMessage, response: ServerResponse): void {
    const { "content-length": length = "0", "transfer-encoding": coding } = request.headers;
    if (coding !== undefined || Number(length) > 0) response.shouldKeepAlive = false;
    others(request, response);
  }
}
