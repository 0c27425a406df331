import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { shuttingDown } from "../core/admissions.ts";
import { asFixityError, FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import type { TokenSet } from "../access/tokens.ts";
import { type Exchange, nextRequestId } from "../http/exchange.ts";
import { createHandler } from "../http/handler.ts";
import type { ServerHandlerOptions } from "../http/options.ts";
import { MethodNotAllowed, SAFETY } from "../http/problem.ts";
import { notFound } from "../http/route.ts";
import { TUS_RESUMABLE } from "../http/resumable/tus.ts";
import { problemOrPage } from "../http/view/page-answer.ts";
import { type Config, needsCredentials } from "../settings/config.ts";
import { connectionLimit, limitConnections } from "./connections.ts";
import { DESCRIPTION_PATH, serveDescription } from "./api-description.ts";
import { Health } from "./health.ts";
import { ClientErrors, makeServer } from "./http-server.ts";
import { hostCheck, isLocalMode, isLocalOnly } from "./local-mode.ts";
import { logExchanges, logRequest } from "./log.ts";
import type { Membership } from "./membership.ts";
import { isPagePath, type PageFacts, PageFiles, servePage } from "./page.ts";

/** Answers whether the process lives. */
const ALIVE_PATH = "/healthz";
/** Answers whether it should receive requests. */
const READY_PATH = "/readyz";

/** An error that the framework hands to an error handler. */
type Thrown = Error & { readonly statusCode?: number };

export interface AppOptions {
  readonly log: Logger;
  /** The tokens of the moment: they may be read again while the server runs. */
  readonly tokens: () => TokenSet | null;
  /** Aborted when the server is about to stop, and still accepts work. */
  readonly draining: AbortSignal;
  /** Aborted when the server accepts no new work. */
  readonly stopping: AbortSignal;
  /** This process's part in a server of several. @default this process is the whole server */
  readonly membership?: Membership | null;
}

/**
 * The app of the standalone server: the uploads, the page, `/healthz` and `/readyz`, `/openapi.json`,
 * and problem documents for everything else.
 */
export async function buildApp(
  fixity: Fixity,
  config: Config,
  { log, tokens, draining, stopping, membership = null }: AppOptions,
): Promise<FastifyInstance> {
  checkPrefix(fixity.prefix);
  const page = await PageFiles.load();
  if (page === null) log.warn("the upload page was not built (npm run build:page): serving a plain form instead");
  const options = handlerOptions(config, { log, tokens, membership });
  const uploads = createHandler(fixity, options);
  const clientErrors = new ClientErrors(log);
  const failures = new WeakMap<FastifyRequest, FixityError>();
  const limits = { trustedProxies: config.trustedProxies, shares: membership?.connections, log };
  const app = Fastify({
    serverFactory: (others) => limitConnections(makeServer({ uploads, others, clientErrors }), limits),
    clientErrorHandler: (error, socket) => clientErrors.answer(error, socket),
    return503OnClosing: false,
    // The framework runs no hooks for these errors.
    frameworkErrors: (error, request, reply) => {
      answerProblem(error, request, reply);
      logReply(request, reply);
    },
    genReqId: nextRequestId,
  });
  app.addHook("onRequest", async (request, reply) => {
    void reply.headers(SAFETY);
    // tus requires this field in every response, also outside the uploads.
    if (request.headers["tus-resumable"] !== undefined) void reply.headers(TUS_RESUMABLE);
    if (!stopping.aborted) return;
    void reply.header("Connection", "close");
    // A process that finishes its work is alive.
    if (pathIn(request.url) === ALIVE_PATH) return;
    throw shuttingDown();
  });
  app.addHook("onResponse", async (request, reply) => logReply(request, reply));
  app.setNotFoundHandler((request) => {
    throw unrouted({ method: request.method, target: request.url }, fixity.prefix);
  });
  app.setErrorHandler(answerProblem);
  serveProbes(app, new Health(() => fixity.store.check()), draining);
  serveDescription(app, fixity, options);
  servePage(app, page, pageFacts(fixity, config));
  return app;

  function answerProblem(thrown: Thrown, request: FastifyRequest, reply: FastifyReply): void {
    const error = problemOf(thrown);
    failures.set(request, error);
    const { status, fields, body } = problemOrPage(navigationOf(request), error, true);
    const content = Buffer.from(typeof body === "string" ? body : "");
    void reply
      .code(status)
      .headers({ ...fields, "X-Request-Id": request.id })
      .send(content);
  }

  function logReply(request: FastifyRequest, { statusCode: status, elapsedTime: durationMs }: FastifyReply): void {
    const { id, method, url: target } = request;
    // Successful health checks come every few seconds and must not fill the log.
    const isProbe = [ALIVE_PATH, READY_PATH].includes(pathIn(request.url)) && status < 400;
    const traceparent = request.headers["traceparent"]?.toString();
    const answered = { id, method, target, status, durationMs, traceparent, error: failures.get(request) };
    logRequest(log, answered, isProbe ? "debug" : "info");
  }
}

function serveProbes(app: FastifyInstance, health: Health, draining: AbortSignal): void {
  const fields = { "Cache-Control": "no-store" };
  app.get(ALIVE_PATH, async (_request, reply) => reply.headers(fields).send({ status: "ok" }));
  app.get(READY_PATH, async (_request, reply) => {
    if (draining.aborted) throw shuttingDown();
    await health.confirm();
    return reply.headers(fields).send({ status: "ok" });
  });
}

/** The failure of a request that no route is for. */
function unrouted({ method, target }: Pick<Exchange, "method" | "target">, uploads: string): FixityError {
  const path = pathIn(target);
  const isKnown = [ALIVE_PATH, READY_PATH, DESCRIPTION_PATH].includes(path) || isPagePath(path);
  if (!isKnown || method === "GET" || method === "HEAD") return notFound();
  const allowed = "GET, HEAD";
  const text = `${method} is not allowed here. Allowed methods: ${allowed}. Files are uploaded to ${uploads}.`;
  return new MethodNotAllowed(text, allowed);
}

function pathIn(target: string): string {
  return target.split("?")[0] ?? "";
}

/** What decides whether a browser displays the answer. */
function navigationOf({ method, url: target, headers }: FastifyRequest): Parameters<typeof problemOrPage>[0] {
  return { method, target, fields: { get: (name) => headers[name]?.toString() } };
}

/** @throws FixityError `invalid-option` */
function checkPrefix(prefix: string): void {
  if (![ALIVE_PATH, READY_PATH, DESCRIPTION_PATH].includes(prefix) && !isPagePath(prefix)) return;
  throw new FixityError("invalid-option", `UPLOAD_PREFIX must be another path: ${prefix} is the server's own.`);
}

function pageFacts({ prefix, maxSize }: Fixity, config: Config): PageFacts {
  const { publicUrl, reads, view, revealExisting: revealsExisting } = config;
  // A proxy in front may serve everything below a path of its own.
  const address = publicUrl === undefined ? null : publicUrl.replace(/\/+$/, "") + prefix;
  return { uploads: prefix, address, maxSize, needsToken: needsCredentials(config), revealsExisting, reads, view };
}

/**
 * The framework's 4xx errors are mistakes of the client; every other error that is not a
 * `FixityError` is an internal error.
 */
function problemOf(thrown: Thrown): FixityError {
  const isClientError = thrown.statusCode !== undefined && thrown.statusCode < 500;
  if (!isClientError) return asFixityError(thrown);
  return new FixityError("invalid-request", "The request is malformed.", { cause: thrown });
}

function handlerOptions(
  config: Config,
  { log, tokens, membership = null }: Pick<AppOptions, "log" | "tokens" | "membership">,
): ServerHandlerOptions {
  const {
    corsOrigins,
    trustedProxies,
    downloads,
    redirectLifetime,
    scripts,
    view,
    cacheTags,
    interimResponses,
    idleTimeout,
    minRate,
    rateWindow,
    prefix,
  } = config;
  return {
    downloads: downloads === "redirect" ? { mode: downloads, lifetime: redirectLifetime / 1000 } : { mode: downloads },
    scripts,
    view,
    cacheTags,
    interimResponses: interimResponses === "auto" ? "auto" : interimResponses === "yes",
    idleTimeout,
    minRate,
    rateWindow,
    maxRequests: connectionLimit(),
    ...(membership !== null && { limiter: membership.limiter, shares: membership.requests }),
    onAnswer: logExchanges(log),
    log: (message) => log.warn(message),
    tokenSet: tokens,
    ...(trustedProxies !== undefined && { trustedProxies }),
    // Pages of other sites do not know a token.
    crossSite: needsCredentials(config) ? "allow" : "refuse",
    crossSiteRemedy: remedyBySetting,
    resourcePolicy: isLocalOnly(config) && corsOrigins === undefined ? "same-origin" : "cross-origin",
    hasPage: true,
    elsewhere: (request) => unrouted(request, prefix),
    ...(isLocalMode(config) && { checkHost: hostCheck(config), trustsHost: true }),
    ...(corsOrigins !== undefined && { cors: { origins: corsOrigins } }),
  };
}

function remedyBySetting(origin: string | null): string {
  return (
    `If it may, add ${origin ?? "its origin"} to UPLOAD_CORS_ORIGINS and restart the server. If it is this server's own page ` +
    `behind a proxy, set UPLOAD_PUBLIC_URL to the address that the browser shows.`
  );
}
