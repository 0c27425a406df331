import { TrustedProxies } from "../access/client-address.ts";
import type { PrincipalLimits } from "../access/principal-limiter.ts";
import { FairShare } from "../base/fair-share.ts";
import { FixityError } from "../core/errors.ts";
import { TokenSet } from "../access/tokens.ts";
import type { Fixity } from "../core/fixity.ts";
import { Access } from "./access.ts";
import type { AccessOptions } from "./access-options.ts";
import { type Delegate, delegateFor, type DownloadOptions } from "./delegated-downloads.ts";
import type { Answer, Exchange, RateLimits } from "./exchange.ts";
import { type FormLimits, type ResolvedFormLimits, resolveFormLimits } from "./form/form-reader.ts";
import { type AllowedOrigins, isOrigin } from "./origins.ts";
import type { ResourcePolicy } from "./serving.ts";

/** Measurements of an exchange that has ended. */
export interface Report {
  /** Milliseconds from the request's header section to the last byte written to the socket. */
  readonly durationMs: number;
  /** Bytes of content received. */
  readonly bytesReceived: number;
  /** Bytes of content sent. */
  readonly bytesSent: number;
  /** Whether the client received less than the whole response. */
  readonly aborted: boolean;
}

/** The configuration of the service over HTTP. */
export interface HandlerOptions<Context = unknown> extends AccessOptions<Context> {
  /**
   * The other origins whose pages may use the service from a browser.
   *
   * @default none
   */
  readonly cors?: { readonly origins: "*" | readonly string[] };
  /**
   * Whether to refuse cross-site requests: those that change something and that a page of another
   * site made the browser send, as every page can with a form. They get 403 unless `cors.origins`
   * lists the page's origin, it is that of `publicUrl`, or the request has a bearer token. `allow`
   * is for services whose `authorize` has its own defence, such as a CSRF token.
   *
   * @default "refuse"
   */
  readonly crossSite?: "allow" | "refuse";
  /**
   * Which server sends the bytes of files. Responses of the delegated modes contain a URL that
   * needs no further authorization (`Location`, `X-Accel-Redirect`): do not log their fields.
   *
   * @default { mode: "stream" }: this process
   */
  readonly downloads?: DownloadOptions;
  /**
   * The only form field that may hold the file.
   *
   * @default any: front ends name it `file`, `upload`, `filepond`, `files[]`, …
   */
  readonly fieldName?: string;
  /** Limits on everything in a form except its file. */
  readonly form?: FormLimits;
  /**
   * Milliseconds after which an upload that sends no byte ends with 408. On Node, also milliseconds
   * after which a download that accepts no byte is disconnected.
   *
   * @default 60000
   */
  readonly idleTimeout?: number;
  /**
   * The lowest upload rate in bytes per second, averaged over `rateWindow`; 0 for no limit.
   *
   * @default 1024
   */
  readonly minRate?: number;
  /**
   * Milliseconds over which `minRate` is averaged, and thus the grace period of a new upload.
   *
   * @default 30000
   */
  readonly rateWindow?: number;
  /**
   * Whether clients that support it receive `104 (Upload Resumption Supported)` while they upload.
   * Some proxies mishandle interim responses: behind nginx such an upload gets no final response,
   * or the 104 as the final one. Set `true` for proxies that forward them, such as HAProxy and
   * Caddy.
   *
   * @default "auto": unless fields of the request show that it came through a proxy
   */
  readonly interimResponses?: boolean | "auto";
  /**
   * Whether files may be scripts and style sheets of pages, served with their own media type.
   * Otherwise JavaScript, CSS, XSLT and the like are served as plain text, and no browser receives
   * a file as a script or style sheet of a page on the same origin. In either case no file can be a
   * worker, service worker, app manifest or XSLT style sheet. Enable it only if everybody who may
   * upload may also run scripts on the origin of the service.
   *
   * @default false
   */
  readonly scripts?: boolean;
  /**
   * Whether links have a page: `?view` shows a preview of the file, its properties, and snippets to
   * copy. The page contains nothing of the file and runs nothing of it. Otherwise `?view` is
   * ignored like any unknown parameter. The page looks like fixity's, not like the app that it is
   * part of, so it is shown only on request; `fixity serve` shows it.
   *
   * @default false
   */
  readonly view?: boolean;
  /**
   * Whether every answer about a file has its digest in `Cache-Tag` and `Cache-Groups` (RFC 9875),
   * so that one purge of a cache in front reaches all links to the file. `onPurge` of `createFixity`
   * says when.
   *
   * @default false
   */
  readonly cacheTags?: boolean;
  /**
   * Addresses and CIDR ranges of trusted proxies in front. The client of their requests is the
   * rightmost hop of `X-Forwarded-For` that is not itself trusted. Required for limits per client
   * if all requests come through proxies.
   *
   * @default none
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Concurrent requests, downloads included, for which the server is sized. While three quarters of
   * them are running, a client (an IPv4 address or the /64 of an IPv6 address) that has a twentieth
   * of them, or 16 if that is more, gets `429 too-many-requests`. Loopback peers and trusted
   * proxies that name no client have no such limit.
   *
   * @default Infinity: no limit
   */
  readonly maxRequests?: number;
  /** Called at the end of every exchange, for logs and metrics. Must not throw. */
  readonly onAnswer?: (exchange: Exchange, answer: Answer, report: Report) => void;
  /**
   * Receives messages for the operator, such as which option allows requests that were refused.
   * Each message is sent once.
   *
   * @default process.emitWarning
   */
  readonly log?: (message: string, cause?: unknown) => void;
}

/** Additional options of the standalone server. */
export interface ServerHandlerOptions<Context = unknown> extends HandlerOptions<Context> {
  /** The tokens of the moment, instead of `tokens`; `null` for none. */
  readonly tokenSet?: () => TokenSet | null;
  /** Returns what the embedder's hooks are to know about a request. Each adapter has its arguments. */
  readonly context?: (...native: readonly never[]) => unknown;
  /** The refusal of a request for its host, or `null`. */
  readonly checkHost?: (exchange: Pick<Exchange, "authority">) => FixityError | null;
  /** Says what allows a cross-site request; see `crossSiteRefusal`. */
  readonly crossSiteRemedy?: (origin: string | null) => string;
  readonly resourcePolicy?: ResourcePolicy;
  /** Whether the server has an upload page at its root. Pages for failures link to it. */
  readonly hasPage?: boolean;
  /** The failure of a request that is not for the service. @default `not-found` */
  readonly elsewhere?: (request: Pick<Exchange, "method" | "target">) => FixityError;
  /** Whether `Host` was checked, so that links in text may contain it. */
  readonly trustsHost?: boolean;
  /** The limits of principals, if not this handler keeps them. */
  readonly limiter?: PrincipalLimits;
  /** The running requests by client, instead of `maxRequests`. */
  readonly shares?: FairShare;
}

/** {@link HandlerOptions}, validated and complete. */
export interface ResolvedHandlerOptions {
  readonly access: Access;
  readonly origins: AllowedOrigins;
  readonly crossSite: "allow" | "refuse";
  readonly crossSiteRemedy: (origin: string | null) => string;
  readonly checkHost: (exchange: Pick<Exchange, "authority">) => FixityError | null;
  readonly resourcePolicy: ResourcePolicy;
  readonly hasPage: boolean;
  readonly elsewhere: ServerHandlerOptions["elsewhere"];
  readonly trustsHost: boolean;
  /** Passes downloads to another server; `null` if this process sends all bytes. */
  readonly delegate: Delegate | null;
  readonly fieldName: string | undefined;
  readonly form: ResolvedFormLimits;
  readonly interimResponses: boolean | "auto";
  readonly rateLimits: RateLimits;
  readonly scripts: boolean;
  readonly view: boolean;
  readonly cacheTags: boolean;
  readonly trustedProxies: TrustedProxies;
  readonly shares: FairShare;
  readonly onAnswer: (exchange: Exchange, answer: Answer, report: Report) => void;
  readonly log: (message: string, cause?: unknown) => void;
}

/** @throws FixityError `invalid-option` */
export function resolveHandlerOptions(options: ServerHandlerOptions, fixity: Fixity): ResolvedHandlerOptions {
  const origins = options.cors?.origins ?? [];
  const { idleTimeout = 60_000, minRate = 1024, rateWindow = 30_000 } = options;
  for (const [name, value] of Object.entries({ idleTimeout, minRate, rateWindow })) {
    if (!(value >= 0)) throw new FixityError("invalid-option", `${name} must be a number, 0 or more.`);
  }
  const { maxRequests = Infinity } = options;
  if (!(maxRequests >= 1)) throw new FixityError("invalid-option", "maxRequests must be a number, 1 or more.");
  const crossSite = options.crossSite ?? "refuse";
  if (crossSite !== "allow" && crossSite !== "refuse") {
    throw new FixityError("invalid-option", "crossSite must be allow or refuse.");
  }
  const { tokens = [] } = options;
  const fixedTokens = tokens.length === 0 ? null : TokenSet.parse(tokens);
  return {
    access: new Access(fixity, options, options.tokenSet ?? (() => fixedTokens)),
    origins: origins === "*" ? "*" : new Set(origins.map(checkedOrigin)),
    crossSite,
    crossSiteRemedy: options.crossSiteRemedy ?? remedyByOption,
    checkHost: options.checkHost ?? (() => null),
    resourcePolicy: options.resourcePolicy ?? "cross-origin",
    hasPage: options.hasPage ?? false,
    elsewhere: options.elsewhere,
    trustsHost: options.trustsHost ?? false,
    delegate: delegateFor(options.downloads ?? { mode: "stream" }, fixity.store),
    fieldName: options.fieldName,
    form: resolveFormLimits(options.form ?? {}),
    interimResponses: options.interimResponses ?? "auto",
    rateLimits: { idleTimeoutMs: idleTimeout, minBytesPerSecond: minRate, windowMs: rateWindow },
    scripts: options.scripts ?? false,
    view: options.view ?? false,
    cacheTags: options.cacheTags ?? false,
    trustedProxies: new TrustedProxies(options.trustedProxies ?? []),
    shares: options.shares ?? new FairShare(maxRequests),
    onAnswer: options.onAnswer ?? (() => {}),
    log: options.log ?? ((message) => process.emitWarning(message, { type: "FixityWarning" })),
  };
}

function remedyByOption(origin: string | null): string {
  const listed = origin === null ? "its origin" : `"${origin}"`;
  return (
    `To allow it, add ${listed} to the option cors.origins. If it is a page of the same site behind a proxy, set the option ` +
    `publicUrl. The option crossSite: "allow" allows the requests of all pages.`
  );
}

function checkedOrigin(origin: string): string {
  if (isOrigin(origin)) return origin;
  throw new FixityError(
    "invalid-option",
    `cors.origins contains "${origin}": list origins such as https://app.example.com (scheme and host, without path or wildcard), or set "*".`,
  );
}
