/**
 * How a request travels.
 *
 * 1. An adapter (`adapters/`) wraps a server's own request in an `Exchange`, whose body is pulled
 *    and has a minimum rate, and calls {@link Handler.handle}.
 * 2. The handler counts the request against its client's share, and refuses it if its host or its
 *    origin is not allowed.
 * 3. `route.ts` maps the path to a resource, and resource and method to a row of its route table.
 *    `OPTIONS` and 405 are derived from the same table.
 * 4. `access.ts` finds out who sends the request, and decides what it may do: before conditions,
 *    any content, and all calls of the store but one read of the upload that the request is to.
 * 5. The row's function answers: `routes/` for plain requests, `resumable/` for the two resumable
 *    protocols. It parses header fields (`fields/`), forms (`form/`) and conditions
 *    (`preconditions.ts`), calls the service in `core/`, and returns an `Answer`. Failures are
 *    thrown as `FixityError` and become problem documents (`problem.ts`), or pages for browsers
 *    (`view/`).
 * 6. The handler adds the fields of CORS, and `X-Request-Id` to failures.
 * 7. The adapter sends the answer, drains what the client is still sending (`adapters/drain.ts`),
 *    and reports the end to {@link Handler.report}, for logs, metrics and diagnostics.
 *
 * The handler keeps no state but the number of running requests. Closing the service interrupts the
 * bodies of uploads; nothing here survives a crash or needs cleanup.
 */
import { clientNetwork } from "../access/client-address.ts";
import { READ_ACTIONS } from "../access/principal.ts";
import type { FairShare } from "../base/fair-share.ts";
import { downloadEnded, NO_SOURCE, requestEnded } from "../core/diagnostics.ts";
import { type ErrorCode, FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import type { Link } from "../core/link.ts";
import { UploadId } from "../core/upload-id.ts";
import type { SeenUpload } from "../core/uploads/seen-upload.ts";
import { notStored } from "./access.ts";
import { downloadOutcome } from "./delegated-downloads.ts";
import { type Answer, type Exchange, type RateLimits, withFields } from "./exchange.ts";
import { fileFactsOf, NO_FACTS } from "./file-facts.ts";
import {
  type Report,
  type ResolvedHandlerOptions,
  resolveHandlerOptions,
  type ServerHandlerOptions,
} from "./options.ts";
import { areSafe, crossSiteRefusal, isCrossSite, isForReading, withCors } from "./origins.ts";
import { failureOf, problemAnswer } from "./problem.ts";
import { cacheTagFields } from "./serving.ts";
import { type AdmittedRequest, type AuthorizedRequest, Query } from "./request.ts";
import { refuseTransferCoding, refuseUnusableContent } from "./request-content.ts";
import { TUS_RESUMABLE, versionRefusal } from "./resumable/tus.ts";
import { uploadsOf } from "./resumable/upload-answers.ts";
import {
  allowedMethods,
  effectiveMethod,
  notFound,
  optionsAnswer,
  type Resource,
  resourceAt,
  type Route,
  routeFor,
  sourceOf,
  speaksTus,
  wrongMethod,
} from "./route.ts";
import { problemOrPage } from "./view/page-answer.ts";

const NO_QUERY = new Query("");

/** A request between {@link Handler.handle} and {@link Handler.report}. */
interface Running {
  /** The network that the request counts against. */
  readonly client: string | null;
  route: Route | null;
  /** The link that it is to. */
  link: Link | null;
  /** For the log: who sends the request, unless anonymous. */
  principal: string | null;
  /** Whether it reads what everybody may read, from any network. */
  isPublicRead: boolean;
  /** Counts the request against the limit of its principal. */
  place: Disposable | null;
}

/** The service over HTTP, independent of any server. Created by `createHandler`. */
export class Handler {
  readonly #fixity: Fixity;
  readonly #options: ResolvedHandlerOptions;
  readonly #shares: FairShare;
  /** Removed by {@link report}. */
  readonly #running = new Map<Exchange, Running>();
  /** Codes of refusals whose message has been logged. */
  readonly #logged = new Set<ErrorCode>();

  constructor(fixity: Fixity, options: ServerHandlerOptions = {}) {
    this.#fixity = fixity;
    this.#options = resolveHandlerOptions(options, fixity);
    this.#shares = this.#options.shares;
  }

  /** How slow a client may be. For adapters. */
  get rateLimits(): RateLimits {
    return this.#options.rateLimits;
  }

  /**
   * Whether the service is closing, so that no connection is kept for another request. For
   * adapters.
   */
  get isClosing(): boolean {
    return this.#fixity.isClosing;
  }

  /** Whether a target (path and query) belongs to this handler. */
  owns(target: string): boolean {
    const { prefix } = this.#fixity;
    if (!target.startsWith(prefix)) return false;
    const next = target[prefix.length];
    return next === undefined || next === "/" || next === "?";
  }

  /** Whether requests for this host (and port) are accepted. For servers with other routes. */
  answersTo(authority: string | undefined): boolean {
    return this.#options.checkHost({ authority }) === null;
  }

  /** Answers one exchange. Never rejects: every failure is an answer. */
  async handle(exchange: Exchange): Promise<Answer> {
    try {
      return await this.#answer(exchange);
    } catch (error) {
      // Thrown while a page or response fields were added, so the answer has neither.
      return withFields(problemAnswer(failureOf(exchange, error)), { "X-Request-Id": exchange.id });
    }
  }

  async #answer(exchange: Exchange): Promise<Answer> {
    let answer: Answer;
    let running: Running | null = null;
    try {
      running = this.#enter(exchange);
      this.#assertAllowed(exchange);
      answer = await this.#admit(exchange, running);
    } catch (error) {
      answer = problemOrPage(exchange, failureOf(exchange, error), this.#options.hasPage);
    }
    // "in every request and response", so also for paths that are not an upload's
    if (speaksTus(exchange)) answer = withFields(answer, TUS_RESUMABLE);
    const link = this.#options.cacheTags ? (running?.link ?? null) : null;
    if (link !== null) answer = withFields(answer, cacheTagFields(link, exchange.method, answer));
    const principal = running?.principal ?? null;
    if (principal !== null) answer = { ...answer, note: { ...answer.note, principal } };
    if (answer.note?.error !== undefined) answer = withFields(answer, { "X-Request-Id": exchange.id });
    const { origins } = this.#options;
    return withCors(exchange, answer, { origins, isPublicRead: running?.isPublicRead ?? false });
  }

  /**
   * For adapters: must be called once when an exchange has ended, whether or not its answer could
   * be sent.
   */
  report(exchange: Exchange, answer: Answer, report: Report): void {
    const running = this.#running.get(exchange);
    if (running !== undefined) {
      this.#running.delete(exchange);
      this.#shares.remove(running.client);
      running.place?.[Symbol.dispose]();
      if (running.route?.isDownload === true && downloadEnded.isObserved) {
        const { bytesSent: size, durationMs } = report;
        downloadEnded.publish({ outcome: downloadOutcome(answer, report), status: answer.status, size, durationMs });
      }
    }
    if (requestEnded.isObserved) publishRequest(running?.route ?? null, answer, report);
    this.#options.onAnswer(exchange, answer, report);
  }

  /** Counts a request as running until it is reported. @throws FixityError `too-many-requests` */
  #enter(exchange: Exchange): Running {
    const { trustedProxies } = this.#options;
    const client = clientNetwork(exchange.peerAddress, exchange.fields.get("x-forwarded-for"), trustedProxies);
    if (this.#shares.isExceededBy(client)) {
      throw new FixityError(
        "too-many-requests",
        `The server is busy, and ${this.#shares.share} requests from your network are running. Wait for one to end.`,
        { facts: { limit: this.#shares.share } },
      );
    }
    this.#shares.add(client);
    const running: Running = { client, route: null, link: null, principal: null, isPublicRead: false, place: null };
    this.#running.set(exchange, running);
    return running;
  }

  /**
   * Refuses a request for another host, and one that a page of another site made the browser send.
   * Nothing has been read or created by then. The first refusal of each kind is logged, with what
   * would allow the request.
   *
   * @throws FixityError `unknown-host`, `cross-site-request`
   */
  #assertAllowed(exchange: Exchange): void {
    const { checkHost, crossSite, crossSiteRemedy, origins, log, access } = this.#options;
    let refusal = checkHost(exchange);
    const isChecked = crossSite === "refuse" || access.isFromBrowserCredentials(exchange);
    if (refusal === null && isChecked && !areSafe(exchange.method, effectiveMethod(exchange))) {
      const trusted = { origins, own: this.#fixity.publicOrigin };
      if (isCrossSite(exchange, trusted)) refusal = crossSiteRefusal(exchange, crossSiteRemedy);
    }
    if (refusal === null) return;
    if (!this.#logged.has(refusal.code)) log(refusal.message);
    this.#logged.add(refusal.code);
    throw refusal;
  }

  /** Admits a request to the running work of the service, and answers it. */
  async #admit(exchange: Exchange, running: Running): Promise<Answer> {
    const { target } = exchange;
    // "applies to the server in general rather than to a specific resource" (RFC 9110, section
    // 9.3.7)
    if (target === "*" && effectiveMethod(exchange) === "OPTIONS") {
      return { status: 204, fields: { Allow: allowedMethods() } };
    }
    if (!this.owns(target)) throw this.#options.elsewhere?.(exchange) ?? notFound();
    refuseTransferCoding(exchange);
    using admission = this.#fixity.admit();
    admission.onInterrupt((reason) => exchange.body.interrupt(reason));
    const { path, rawQuery, query } = splitTarget(target, this.#fixity.prefix);
    const resource = resourceAt(path);
    if (resource === null) throw notFound();
    const options = this.#options;
    if (effectiveMethod(exchange) === "OPTIONS") {
      if (resource.kind === "collection") options.access.assertCredentials(exchange);
      running.isPublicRead = options.access.reads === "public" && this.#mayBePublic(exchange, resource);
      return optionsAnswer({ fixity: this.#fixity, exchange }, resource);
    }
    if (resource.kind === "link") running.link = resource.target;
    const identity = await options.access.identify(exchange);
    const { principal } = identity;
    if (principal.kind !== "anonymous") running.principal = `${principal.kind}:${principal.name}`;
    const place = options.access.limiter.enter(principal);
    running.place = place instanceof Promise ? await place : place;
    const { client } = running;
    const request = { fixity: this.#fixity, options, exchange, admission, query, rawQuery, client, identity };
    return await this.#route(request, resource, running);
  }

  /** Finds the route of a request, authorizes the request, and runs the route. */
  async #route(request: AdmittedRequest, resource: Resource, running: Running): Promise<Answer> {
    const { exchange } = request;
    const method = effectiveMethod(exchange);
    const isForTus = resource.kind === "upload" || (resource.kind === "collection" && method === "POST");
    const refusal = isForTus && speaksTus(exchange) ? versionRefusal(exchange) : null;
    if (refusal !== null) return refusal;
    const route = routeFor(request, resource);
    if (route === null) throw wrongMethod(exchange, resource);
    running.route = route;
    try {
      const authorized = await this.#authorize(request, resource, route);
      running.isPublicRead = authorized.reading.isPublic && this.#mayBePublic(exchange, resource);
      return await this.#run(authorized, resource, route);
    } catch (thrown) {
      const error = isHiddenBlock(thrown, request, route) ? notStored() : thrown;
      if (route.failure === undefined) throw error;
      return route.failure(request, error);
    }
  }

  #mayBePublic(exchange: Exchange, { kind }: Resource): boolean {
    return this.#options.resourcePolicy === "cross-origin" && kind === "link" && isForReading(exchange);
  }

  /** Reads the record of the upload that a request is to, and nothing else, to decide about it. */
  async #authorize(request: AdmittedRequest, resource: Resource, route: Route): Promise<AuthorizedRequest> {
    const { action } = route;
    const { exchange, identity, rawQuery: query, options } = request;
    const { access } = options;
    let seen: SeenUpload | "missing" | null = null;
    if (resource.kind === "upload") {
      access.assertMay(identity, action);
      const id = UploadId.fromHex(resource.target);
      seen = id === null ? "missing" : await lookFor(request, id);
    }
    const link = resource.kind === "link" ? resource.target : null;
    const facts = access.asks ? fileFactsOf(request, resource) : NO_FACTS;
    const subject = { action, exchange, link, query, upload: seen, ...facts };
    const grant = await access.authorize(identity, subject);
    const terms = { ...grant.terms, source: sourceOf(route) };
    return { ...request, ...grant, terms, seen: seen === null || seen === "missing" ? undefined : seen };
  }

  /** Runs the route. A permit for one upload is redeemed before, unless nothing comes of it. */
  async #run(request: AuthorizedRequest, resource: Resource, route: Route): Promise<Answer> {
    const { exchange, identity, options } = request;
    const { action } = route;
    if (action === "create" || action === "append") {
      refuseUnusableContent(exchange);
      if (identity.principal.limits.maxBytesPerDay !== undefined) await this.#meter(request);
    }
    const redemption = await options.access.redeem(identity, action);
    if (redemption === null) return await route.run(request, resource.target as never);
    try {
      const answer = await route.run(request, resource.target as never);
      // A creation that was interrupted has a location: its upload exists, and uses the permit.
      if (answer.status >= 400 && answer.fields["Location"] === undefined) await redemption.undo();
      return answer;
    } catch (error) {
      await redemption.undo();
      throw error;
    }
  }

  /** Counts the content of an upload against the limit of its principal. */
  async #meter({ exchange, identity: { principal }, options: { access } }: AuthorizedRequest): Promise<void> {
    const announced = Number(exchange.fields.get("content-length") ?? 0);
    await access.limiter.assertBytes(principal, Number.isSafeInteger(announced) ? announced : 0);
    exchange.body.meter((bytes) => access.limiter.addBytes(principal, bytes));
  }
}

/** Whether a failure is the block of a file that only some may read: they see no file. */
function isHiddenBlock(thrown: unknown, { fixity }: AdmittedRequest, { action }: Route): boolean {
  const isBlock = thrown instanceof FixityError && thrown.code === "blob-blocked";
  return isBlock && fixity.reads !== "public" && READ_ACTIONS.includes(action);
}

/** Publishes the end of a request. @param route `null` if it was refused before one was found */
function publishRequest(route: Route | null, { status, note }: Answer, report: Report): void {
  const { route: resource, protocol } = route === null ? NO_SOURCE : sourceOf(route);
  const { error } = note ?? {};
  requestEnded.publish({
    route: resource,
    protocol,
    action: route?.action ?? "none",
    status,
    code: error instanceof FixityError ? error.code : null,
    ...report,
  });
}

/** Reads the record of an upload. */
async function lookFor(request: AdmittedRequest, id: UploadId): Promise<SeenUpload | "missing"> {
  try {
    return await uploadsOf(request).look(id, request.exchange.signal);
  } catch (error) {
    if (error instanceof FixityError && error.code === "upload-not-found") return "missing";
    throw error;
  }
}

/** Creates the HTTP side of a service, for an adapter to serve. */
export function createHandler(fixity: Fixity, options: ServerHandlerOptions = {}): Handler {
  return new Handler(fixity, options);
}

interface SplitTarget {
  readonly path: string;
  readonly rawQuery: string;
  readonly query: Query;
}

function splitTarget(target: string, prefix: string): SplitTarget {
  const mark = target.indexOf("?");
  if (mark === -1) return { path: target.slice(prefix.length), rawQuery: "", query: NO_QUERY };
  const rawQuery = target.slice(mark + 1);
  return { path: target.slice(prefix.length, mark), rawQuery, query: new Query(rawQuery) };
}
