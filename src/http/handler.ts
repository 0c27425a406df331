import { clientNetwork } from "../access/client-address.ts";
import { FairShare } from "../base/fair-share.ts";
import type { Admission } from "../core/admissions.ts";
import { type ErrorCode, FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import { Link } from "../core/link.ts";
import { refuseCode } from "./active-content.ts";
import { admit, refuseTransferCoding } from "./request-content.ts";
import { withCors } from "./cors.ts";
import { areSafe, crossSiteRefusal, isCrossSite } from "./cross-site.ts";
import type { Answer, Exchange } from "./exchange.ts";
import { isForm } from "./fields/content-type.ts";
import {
  type Action,
  type Report,
  type ResolvedHandlerOptions,
  resolveHandlerOptions,
  type ServerHandlerOptions,
} from "./options.ts";
import { PacedBody } from "./adapters/rate-limited-body.ts";
import { problemAnswer } from "./problem.ts";
import { announcedLimits, wantsResumable } from "./resumable/ietf.ts";
import { answerCreation } from "./resumable/ietf-refusals.ts";
import { answerTus, createTusUpload, effectiveMethod, RESUMABLE, speaksTus, tusOptions } from "./resumable/tus.ts";
import { clientGone, withFields } from "./resumable/upload-state-answers.ts";
import { uploadIn, uploadResource } from "./route.ts";
import { readBlob } from "./routes/blob.ts";
import { removeBlob } from "./routes/remove-blob.ts";
import { putBlob } from "./routes/put-blob.ts";
import { mayBeName, putName } from "./routes/put-name.ts";
import { upload } from "./routes/upload.ts";
import { asksForView, viewBlob } from "./routes/view-blob.ts";
import { problemOrPage } from "./view/page-answer.ts";
import { wrongMethod } from "./wrong-method.ts";

/** The parameters of a target. */
type Query = Pick<URLSearchParams, "get" | "has" | typeof Symbol.iterator>;

/** Everything a route needs of its request. */
export interface RouteContext {
  readonly fixity: Fixity;
  readonly options: ResolvedHandlerOptions;
  readonly exchange: Exchange;
  /** Of the request; when the service is closed, its body ends when the time to finish is over. */
  readonly admission: Admission;
  /** The parameters behind the `?` of the target. */
  readonly query: Query;
  /** The client's network, whose share of what is limited the request takes; `null` for a client without such limits. */
  readonly client: string | null;
}

/** A route to one link. */
type LinkRoute = (context: RouteContext, link: Link) => Promise<Answer>;

const NO_QUERY: Query = new URLSearchParams();

const ALL_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
const COLLECTION_METHODS = "OPTIONS, POST";

const LINK_ROUTES: Readonly<Record<string, readonly [action: Action, route: LinkRoute]>> = {
  GET: ["read", readLink],
  HEAD: ["read", readLink],
  PUT: ["upload", putBlob],
  DELETE: ["delete", removeBlob],
};
const LINK_METHODS = "DELETE, GET, HEAD, OPTIONS, PUT";
const NAME_METHODS = "OPTIONS, PUT";

/** The service over HTTP, without a server: exchanges in, answers out. Made by {@link createHandler}. */
export class Handler {
  readonly #fixity: Fixity;
  readonly #options: ResolvedHandlerOptions;
  readonly #running: FairShare;
  /** The client of each running request. */
  readonly #clients = new WeakMap<Exchange, string | null>();
  /** Codes of refusals whose message has been logged. */
  readonly #logged = new Set<ErrorCode>();

  constructor(fixity: Fixity, options: ServerHandlerOptions = {}) {
    this.#fixity = fixity;
    this.#options = resolveHandlerOptions(options, fixity.store);
    this.#running = new FairShare(this.#options.maxRequests);
  }

  /** Milliseconds that a client may bring, or take, no byte. For adapters. */
  get idleTimeout(): number {
    return this.#options.pace.idleTimeout;
  }

  /** The service is being closed: no connection is kept for another request. For adapters. */
  get isClosing(): boolean {
    return this.#fixity.isClosing;
  }

  /** Whether a target (path and query) is one of this handler's. */
  owns(target: string): boolean {
    const { prefix } = this.#fixity;
    if (!target.startsWith(prefix)) return false;
    const next = target[prefix.length];
    return next === undefined || next === "/" || next === "?";
  }

  /** Whether requests for this host (and port) are answered, and not refused. For servers that have other routes too. */
  answersTo(authority: string | undefined): boolean {
    return this.#options.checkHost({ authority }) === null;
  }

  /** Answers one exchange. Never rejects: every failure is an answer. */
  async handle(exchange: Exchange): Promise<Answer> {
    let answer: Answer;
    try {
      const client = this.#enter(exchange);
      answer = this.#refusal(exchange) ?? (await this.#route(exchange, client));
    } catch (error) {
      answer = problemAnswer(exchange.signal.aborted ? clientGone(error) : error);
    }
    // "in every request and response", so also in those for addresses that are no upload's
    if (speaksTus(exchange)) answer = withFields(answer, RESUMABLE);
    if (answer.note?.error !== undefined) answer = withFields(answer, { "X-Request-Id": exchange.id });
    return withCors(exchange, answer, this.#options.origins);
  }

  /** For adapters: an exchange that was handled has ended, and its answer was sent or could not be. To be called once. */
  report(exchange: Exchange, answer: Answer, report: Report): void {
    const client = this.#clients.get(exchange);
    if (client !== undefined && this.#clients.delete(exchange)) this.#running.remove(client);
    this.#options.onAnswer(exchange, answer, report);
  }

  /** Counts a request as running until it is reported. @throws FixityError `too-many-requests` */
  #enter(exchange: Exchange): string | null {
    const { trustedProxies } = this.#options;
    const client = clientNetwork(exchange.peerAddress, exchange.fields.get("x-forwarded-for"), trustedProxies);
    if (this.#running.isExceededBy(client)) {
      throw new FixityError(
        "too-many-requests",
        `The server is busy, and ${this.#running.share} requests from your network are running. Wait for one to end.`,
        { facts: { limit: this.#running.share } },
      );
    }
    this.#running.add(client);
    this.#clients.set(exchange, client);
    return client;
  }

  /**
   * The answer to a request that is not for this service, or that a page of another site made the browser send: before
   * anything is read or created. The first of each kind is logged with what would allow it.
   */
  #refusal(exchange: Exchange): Answer | null {
    const { checkHost, crossSite, crossSiteRemedy, origins, log } = this.#options;
    let refusal = checkHost(exchange);
    if (refusal === null && crossSite === "refuse" && !areSafe(exchange.method, effectiveMethod(exchange))) {
      const trusted = { origins, own: this.#fixity.publicOrigin };
      if (isCrossSite(exchange, trusted)) refusal = crossSiteRefusal(exchange, crossSiteRemedy);
    }
    if (refusal === null) return null;
    if (!this.#logged.has(refusal.code)) log(refusal.message);
    this.#logged.add(refusal.code);
    return problemOrPage(exchange, refusal);
  }

  async #route(exchange: Exchange, client: string | null): Promise<Answer> {
    const { target } = exchange;
    const method = effectiveMethod(exchange);
    // "applies to the server in general rather than to a specific resource" (RFC 9110, section 9.3.7)
    if (target === "*" && method === "OPTIONS") return told(ALL_METHODS, {});
    if (!this.owns(target)) throw new FixityError("not-found", "There is nothing at this URL.");
    refuseTransferCoding(exchange);
    using admission = this.#fixity.admit();
    const mark = target.indexOf("?");
    const path = target.slice(this.#fixity.prefix.length, mark === -1 ? undefined : mark);
    const context: RouteContext = {
      fixity: this.#fixity,
      options: this.#options,
      exchange: withPace(exchange, this.#options, admission),
      admission,
      client,
      query: mark === -1 ? NO_QUERY : new URLSearchParams(target.slice(mark + 1)),
    };
    return await this.#answer(context, path);
  }

  /** @param path behind the prefix */
  async #answer(context: RouteContext, path: string): Promise<Answer> {
    const { exchange } = context;
    const method = effectiveMethod(exchange);
    if (path === "" || path === "/") {
      if (method === "OPTIONS") return collectionOptions(context);
      if (method !== "POST") return path === "" ? wrongMethod(method, COLLECTION_METHODS) : notFound(exchange);
      if (speaksTus(exchange)) return answerTus(exchange, () => this.#create(context, createTusUpload));
      const create = (): Promise<Answer> => this.#create(context, upload);
      // a form cannot be resumed: there `Upload-Complete` is ignored
      const isResumable = wantsResumable(context) && !isForm(exchange.fields.get("content-type"));
      return isResumable ? answerCreation(context, create) : create();
    }
    const id = uploadIn(path);
    if (id !== null) return uploadResource(context, id);
    const segment = path.slice(1);
    const link = Link.fromSegment(segment);
    if (link === null) return this.#name(context, segment);
    if (method === "OPTIONS") return told(LINK_METHODS, announcedLimits(context));
    return this.#link(context, link);
  }

  /** An address that is no link: nothing has it, but a file can be stored by `PUT` to a name. */
  async #name(context: RouteContext, segment: string): Promise<Answer> {
    const { exchange } = context;
    if (!mayBeName(segment)) return notFound(exchange);
    if (effectiveMethod(exchange) === "OPTIONS") return told(NAME_METHODS, announcedLimits(context));
    if (exchange.method !== "PUT") return notFound(exchange);
    const put = (): Promise<Answer> => this.#create(context, () => putName(context, segment));
    return wantsResumable(context) ? answerCreation(context, put) : put();
  }

  async #link(context: RouteContext, link: Link): Promise<Answer> {
    const { method } = context.exchange;
    const route = Object.hasOwn(LINK_ROUTES, method) ? LINK_ROUTES[method] : undefined;
    if (route === undefined) return wrongMethod(method, LINK_METHODS);
    const answer = async (): Promise<Answer> => {
      await admit(context, route[0]);
      return route[1](context, link);
    };
    return method === "PUT" && wantsResumable(context) ? answerCreation(context, answer) : answer();
  }

  async #create(context: RouteContext, route: (context: RouteContext) => Promise<Answer>): Promise<Answer> {
    await admit(context, "upload");
    return route(context);
  }
}

/** Makes the HTTP side of a service, for an adapter to serve. */
export function createHandler(fixity: Fixity, options: ServerHandlerOptions = {}): Handler {
  return new Handler(fixity, options);
}

async function readLink(context: RouteContext, link: Link): Promise<Answer> {
  refuseCode(context.exchange, context.options.scripts);
  if (asksForView(context)) return viewBlob(context, link);
  try {
    return await readBlob(context, link);
  } catch (error) {
    // people open links that lead nowhere in a browser
    if (!(error instanceof FixityError) || error.code !== "blob-not-found") throw error;
    return problemOrPage(context.exchange, error);
  }
}

function withPace(exchange: Exchange, { pace }: ResolvedHandlerOptions, admission: Admission): Exchange {
  const body = new PacedBody(exchange.body, pace);
  admission.onInterrupt((reason) => body.interrupt(reason));
  return {
    id: exchange.id,
    method: exchange.method,
    target: exchange.target,
    authority: exchange.authority,
    fields: exchange.fields,
    trailers: exchange.trailers,
    hasContent: exchange.hasContent,
    isContentUsed: exchange.isContentUsed,
    awaitsContinue: exchange.awaitsContinue,
    ...(exchange.interim !== undefined && { interim: (status, fields) => exchange.interim?.(status, fields) }),
    body,
    get signal() {
      return exchange.signal;
    },
  };
}

/** For people a page, for programs the problem document. */
function notFound(exchange: Exchange): Answer {
  return problemOrPage(exchange, new FixityError("not-found", "There is nothing under this address."));
}

/** What can be done with the collection, and within which limits. */
function collectionOptions(context: RouteContext): Answer {
  return told(COLLECTION_METHODS, { ...announcedLimits(context), ...tusOptions(context) });
}

function told(methods: string, fields: Readonly<Record<string, string>>): Answer {
  return { status: 204, fields: { Allow: methods, ...fields } };
}
