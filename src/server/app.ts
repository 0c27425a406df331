import Fastify, { type FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { Digest } from "../core/digest.ts";
import { asFixityError, FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import { fixityPlugin } from "../http/adapters/fastify.ts";
import { nextRequestId } from "../http/adapters/request-id.ts";
import { bearerTokens } from "../http/bearer.ts";
import type { HandlerOptions } from "../http/options.ts";
import { problemAnswer } from "../http/problem.ts";
import { answerClientError } from "./client-errors.ts";
import type { Config } from "./config.ts";
import { loggedPath } from "./log.ts";
import { servePage } from "./page.ts";
import { logExchanges } from "./request-log.ts";

/** Bytes of a request's header section. */
const MAX_HEADER_SIZE = 16 * 1024;
/** Milliseconds for a request's header section to come in. */
const HEADERS_TIMEOUT = 20_000;
/** Milliseconds that an idle connection is kept: longer than the 60 s of usual proxies, who must be the ones to close. */
const KEEP_ALIVE = 72_000;

/** The parts of a server. */
export interface AppParts {
  readonly config: Config;
  readonly fixity: Fixity;
  readonly log: Logger;
}

/** The standalone app: the uploads, the page, `/healthz`, and problems for everything else. */
export async function buildApp({ config, fixity, log }: AppParts): Promise<FastifyInstance> {
  const app = Fastify({
    http: { maxHeaderSize: MAX_HEADER_SIZE, headersTimeout: HEADERS_TIMEOUT },
    keepAliveTimeout: KEEP_ALIVE,
    // uploads have limits on silence and rate instead of one on the whole time
    requestTimeout: 0,
    return503OnClosing: false,
    exposeHeadRoutes: true,
    clientErrorHandler: answerClientError,
    genReqId: nextRequestId,
  });
  app.addHook("onRequest", async (_request, reply) => {
    void reply.headers({
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    });
  });
  app.addHook("onResponse", async (request, reply) => {
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    log.debug({ id: request.id, ms }, `${request.method} ${loggedPath(request.url)} ${reply.statusCode}`);
  });
  app.setNotFoundHandler(() => {
    throw new FixityError("not-found", "Nothing has this address.");
  });
  app.setErrorHandler(async (thrown: Error & { statusCode?: number }, request, reply) => {
    const ours = thrown.statusCode !== undefined && thrown.statusCode < 500;
    const error = ours
      ? new FixityError("invalid-request", "The request cannot be understood.", { cause: thrown })
      : asFixityError(thrown);
    const { status, fields, body } = problemAnswer(error);
    if (status >= 500) log.error({ id: request.id, err: error.cause ?? error }, "a request failed");
    return reply
      .code(status)
      .headers({ ...fields, "X-Request-Id": request.id })
      .send(Buffer.from(typeof body === "string" ? body : ""));
  });
  app.get("/healthz", async (_request, reply) => {
    await probe(fixity);
    return reply.header("Cache-Control", "no-store").send({ status: "ok" });
  });
  await app.register(fixityPlugin, { fixity, ...handlerOptions(config, log) });
  await servePage(app, { fixity, needsToken: config.tokens.length > 0 });
  return app;
}

function handlerOptions(config: Config, log: Logger): HandlerOptions {
  const { tokens, corsOrigins, idleTimeout, minRate, rateWindow } = config;
  const origins = corsOrigins?.includes("*") === true ? "*" : corsOrigins;
  return {
    idleTimeout,
    minRate,
    rateWindow,
    onAnswer: logExchanges(log),
    ...(tokens.length > 0 && { authorize: bearerTokens(tokens) }),
    ...(origins !== undefined && { cors: { origins } }),
  };
}

/** Asks the store for a blob that need not be there: whether it answers is what counts. */
async function probe(fixity: Fixity): Promise<void> {
  const signal = AbortSignal.timeout(3000);
  try {
    await fixity.stat(Digest.parse("0".repeat(64)), signal);
  } catch (cause) {
    throw new FixityError("store-unavailable", "The store does not answer.", { cause });
  }
}
