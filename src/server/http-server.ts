import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { Drain, drainLimits, isClosing } from "../http/adapters/drain.ts";
import { NodeBody, originForm } from "../http/adapters/node-exchange.ts";
import { expectContinue, nodeListener } from "../http/adapters/node.ts";
import { authorityInTarget } from "../http/fields/host.ts";
import type { Handler } from "../http/handler.ts";
import type { ClientErrors } from "./client-errors.ts";

/** Bytes of a request's header section. */
const MAX_HEADER_SIZE = 16 * 1024;
/** Milliseconds within which a request's header section must arrive. */
const HEADERS_TIMEOUT = 20_000;
/** Milliseconds between two looks at the connections for header sections that are overdue. */
const HEADERS_CHECK = 2_000;
/** Milliseconds for which an idle connection is kept: longer than the 60 s of usual proxies, which must be the ones to close. */
const KEEP_ALIVE = 72_000;

/** Methods whose requests have no content worth reading (RFC 9110, section 9.3). */
const READING: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "OPTIONS"]);

/** What answers a server's requests. */
export interface Listeners {
  /** Also answers requests for a host that the server does not answer to. */
  readonly uploads: Handler;
  /** Answers requests outside the uploads. */
  readonly others: RequestListener;
  readonly clientErrors: ClientErrors;
}

/**
 * The server's socket side. Uploads are answered before the framework sees them: its routing costs a tenth of a small one.
 * They are also the only ones that accept content: a request that sends some to another address is refused by the handler
 * of the uploads, which bounds what is read of it.
 */
export function makeServer({ uploads, others, clientErrors }: Listeners): Server {
  const listener = nodeListener(uploads);
  const limits = {
    maxHeaderSize: MAX_HEADER_SIZE,
    headersTimeout: HEADERS_TIMEOUT,
    connectionsCheckingInterval: HEADERS_CHECK,
    keepAliveTimeout: KEEP_ALIVE,
    // uploads have limits on silence and rate instead of a limit on the whole time
    requestTimeout: 0,
    // Node's own answer has no content
    requireHostHeader: false,
  };
  const server = createServer(limits, (request, response) => {
    if (isClosing(request.socket)) {
      request.resume();
      return;
    }
    clientErrors.expect(request.socket, response);
    // the host of an absolute target replaces the field (RFC 9112, section 3.2.2)
    const authority = authorityInTarget(request.url ?? "/");
    if (authority !== null) request.headers.host = authority;
    request.url = originForm(request.url ?? "/");
    if (!clientErrors.admits(request, response)) return;
    // Fastify takes "*" for "/"
    const isForOthers =
      READING.has(request.method) && request.url.startsWith("/") && uploads.answersTo(request.headers.host);
    listener(request, response, isForOthers ? () => void answerOthers(request, response) : undefined);
  });
  // left to the routes; Node's own answer has no content
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  expectContinue(server, listener);
  return server;

  /** Content has no meaning in these requests (RFC 9110, section 9.3.1), so it is dropped before they are answered. */
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
