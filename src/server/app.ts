import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { shuttingDown } from "../core/admissions.ts";
import { asFixityError, FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import { nextRequestId } from "../http/adapters/request-id.ts";
import { bearerTokens } from "../http/authorize.ts";
import { createHandler } from "../http/handler.ts";
import { refuseRemoval, type ServerHandlerOptions } from "../http/options.ts";
import { problemAnswer, SAFETY } from "../http/problem.ts";
import { RESUMABLE } from "../http/resumable/tus.ts";
import { ClientErrors } from "./client-errors.ts";
import { connectionLimit, limitConnections } from "./connections.ts";
import type { Config } from "../settings/config.ts";
import type { Health } from "./health.ts";
import { makeServer } from "./http-server.ts";
import { hostCheck, isLocalMode, isLocalOnly } from "./local-mode.ts";
import { isPagePath, servePage } from "./page.ts";
import { PageFiles } from "./page-files.ts";
import { logAnswered, logExchanges } from "./request-log.ts";

/** Where it is asked whether the store answers. */
const HEALTH = "/healthz";

/** What the framework hands to an error handler. */
type Thrown = Error & { readonly statusCode?: number };

/** The parts of a server. */
export interface AppParts {
  readonly config: Config;
  readonly fixity: Fixity;
  readonly health: Health;
  readonly log: Logger;
  /** Aborted when the server takes no new work. */
  readonly stopping: AbortSignal;
}

/** The standalone app: the uploads, the page, `/healthz`, and problems for everything else. */
export async function buildApp({ config, fixity, health, log, stopping }: AppParts): Promise<FastifyInstance> {
  if (fixity.prefix === HEALTH || isPagePath(fixity.prefix)) {
    throw new FixityError(
      "invalid-option",
      `UPLOAD_PREFIX must be another path: ${fixity.prefix} is the server's own.`,
    );
  }
  const page = await PageFiles.load();
  if (page === null) log.warn("the page was not built (npm run build:page): a plain form stands in for it");
  const uploads = createHandler(fixity, handlerOptions(config, log));
  const clientErrors = new ClientErrors(log);
  const failures = new WeakMap<FastifyRequest, FixityError>();
  const app = Fastify({
    serverFactory: (others) =>
      limitConnections(makeServer({ uploads, others, clientErrors }), { trustedProxies: config.trustedProxies, log }),
    clientErrorHandler: (error, socket) => clientErrors.answer(error, socket),
    return503OnClosing: false,
    // here the framework runs no hooks
    frameworkErrors: (error, request, reply) => {
      answerProblem(error, request, reply);
      logReply(request, reply);
    },
    genReqId: nextRequestId,
  });
  app.addHook("onRequest", async (request, reply) => {
    void reply.headers(SAFETY);
    // tus demands it of every response, also outside of the uploads
    if (request.headers["tus-resumable"] !== undefined) void reply.headers(RESUMABLE);
    if (!stopping.aborted) return;
    void reply.header("Connection", "close");
    throw shuttingDown();
  });
  app.addHook("onResponse", async (request, reply) => logReply(request, reply));
  app.setNotFoundHandler(() => {
    throw new FixityError("not-found", "Nothing has this address.");
  });
  app.setErrorHandler(answerProblem);
  app.get(HEALTH, async (_request, reply) => {
    await health.confirm();
    return reply.header("Cache-Control", "no-store").send({ status: "ok" });
  });
  const { prefix, maxSize } = fixity;
  // the proxy in front may serve it all below a path of its own
  const address = config.publicUrl === undefined ? null : config.publicUrl.replace(/\/+$/, "") + prefix;
  servePage(app, page, { uploads: prefix, address, maxSize, needsToken: config.tokens.length > 0, view: config.view });
  return app;

  function answerProblem(thrown: Thrown, request: FastifyRequest, reply: FastifyReply): void {
    const error = problemOf(thrown);
    failures.set(request, error);
    const { status, fields, body } = problemAnswer(error);
    const content = Buffer.from(typeof body === "string" ? body : "");
    void reply
      .code(status)
      .headers({ ...fields, "X-Request-Id": request.id })
      .send(content);
  }

  function logReply(request: FastifyRequest, { statusCode: status, elapsedTime: durationMs }: FastifyReply): void {
    const { id, method, url: target } = request;
    // who asks every few seconds whether all is well is not to fill the log
    const isAskedOften = target.split("?")[0] === HEALTH && status < 400;
    const answered = { id, method, target, status, durationMs, error: failures.get(request) };
    logAnswered(log, answered, isAskedOften ? "debug" : "info");
  }
}

/** What the framework refuses is the request's fault; everything else that is not ours is a fault of ours. */
function problemOf(thrown: Thrown): FixityError {
  const refused = thrown.statusCode !== undefined && thrown.statusCode < 500;
  if (!refused) return asFixityError(thrown);
  return new FixityError("invalid-request", "The request cannot be understood.", { cause: thrown });
}

function handlerOptions(config: Config, log: Logger): ServerHandlerOptions {
  const {
    tokens,
    corsOrigins,
    trustedProxies,
    downloads,
    redirectLifetime,
    scripts,
    view,
    interimResponses,
    idleTimeout,
    minRate,
    rateWindow,
  } = config;
  return {
    downloads: downloads === "redirect" ? { mode: downloads, lifetime: redirectLifetime / 1000 } : { mode: downloads },
    scripts,
    view,
    interimResponses: interimResponses === "auto" ? "auto" : interimResponses === "yes",
    idleTimeout,
    minRate,
    rateWindow,
    maxRequests: connectionLimit(),
    onAnswer: logExchanges(log),
    log: (message) => log.warn(message),
    authorize: tokens.length > 0 ? bearerTokens(tokens) : refuseRemoval,
    ...(trustedProxies !== undefined && { trustedProxies }),
    // a page of another site has no token
    crossSite: tokens.length > 0 ? "allow" : "refuse",
    crossSiteRemedy: remedyBySetting,
    resourcePolicy: isLocalOnly(config) && corsOrigins === undefined ? "same-origin" : "cross-origin",
    ...(isLocalMode(config) && { checkHost: hostCheck(config) }),
    ...(corsOrigins !== undefined && { cors: { origins: corsOrigins } }),
  };
}

function remedyBySetting(origin: string | null): string {
  const listed = origin === null ? "its origin" : origin;
  return (
    `If it may, add ${listed} to UPLOAD_CORS_ORIGINS and start the server again. If it is this server's own page behind ` +
    `a proxy, set UPLOAD_PUBLIC_URL to the address that the browser shows.`
  );
}
