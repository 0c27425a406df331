import { TrustedProxies } from "../access/client-address.ts";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { isOrigin } from "./cors.ts";
import type { Delegate } from "./delegation/delegate.ts";
import { delegateFor, type DownloadOptions } from "./delegated-downloads.ts";
import type { Answer, Exchange } from "./exchange.ts";
import { type FormLimits, type ResolvedFormLimits, resolveFormLimits } from "./form/form-limits.ts";
import type { PaceLimits } from "./adapters/rate-limited-body.ts";

/** What a client wants to do, for {@link HandlerOptions.authorize}. */
export type Action = "upload" | "read" | "delete";

/** Figures about an exchange that has ended. */
export interface Report {
  /** Milliseconds from the request's header section to the last byte handed to the socket. */
  readonly durationMs: number;
  /** Bytes of content received. */
  readonly bytesReceived: number;
  /** Bytes of content sent. */
  readonly bytesSent: number;
  /** The client did not get the whole answer. */
  readonly aborted: boolean;
}

/** How the service answers over HTTP. */
export interface HandlerOptions {
  /**
   * Asked before anything is read of an upload, served or removed. Throws a `FixityError` `unauthorized` or `forbidden`
   * to refuse.
   *
   * @default uploads and reads for everybody, removal for nobody
   */
  readonly authorize?: (exchange: Exchange, action: Action) => Promise<void> | void;
  /**
   * Pages of which other origins may use the service from a browser.
   *
   * @default none
   */
  readonly cors?: { readonly origins: "*" | readonly string[] };
  /**
   * Requests that change something and that a page of another site made the browser send, as every page can by a form, are
   * answered with 403, unless `cors.origins` lists the page's origin, it is that of `publicUrl`, or the request has a bearer
   * token. `allow` lets all of them pass: for services whose `authorize` is a defence of its own, such as a CSRF token.
   *
   * @default "refuse"
   */
  readonly crossSite?: "allow" | "refuse";
  /**
   * Who sends the bytes of files. The answers of the two other modes hold a URL that lets in whoever has it (`Location`,
   * `X-Accel-Redirect`): do not log their fields.
   *
   * @default { mode: "stream" }: we do
   */
  readonly downloads?: DownloadOptions;
  /**
   * The only form field in which a file is accepted.
   *
   * @default any: front ends call it `file`, `upload`, `filepond`, `files[]`, …
   */
  readonly fieldName?: string;
  /** Limits on everything in a form except the file. */
  readonly form?: FormLimits;
  /**
   * Milliseconds that an upload may bring no byte; then it ends with 408. On Node, also those that a client may take no
   * byte of a file; then its connection ends.
   *
   * @default 60000
   */
  readonly idleTimeout?: number;
  /**
   * Bytes per second that an upload must bring, measured over `rateWindow`; 0 for any.
   *
   * @default 1024
   */
  readonly minRate?: number;
  /**
   * Milliseconds over which `minRate` is measured, and thus the grace time of a new upload.
   *
   * @default 30000
   */
  readonly rateWindow?: number;
  /**
   * Whether clients that ask for them get `104 (Upload Resumption Supported)` while they upload. Proxies that do not expect
   * interim responses break on them: behind nginx such an upload gets no final response, or the 104 for one. `true` for
   * proxies that pass them on, such as HAProxy and Caddy.
   *
   * @default "auto": unless fields of the request show that it has come through a proxy
   */
  readonly interimResponses?: boolean | "auto";
  /**
   * Files may be scripts and style sheets of pages: they are served with their own media type. Without, JavaScript, CSS, XSLT
   * and the like are plain text, and a browser gets no file as a script or style sheet of a page on the same origin. In
   * either case no file is a worker, service worker, app manifest or XSLT style sheet. Set it only if everybody who may
   * upload may also run scripts on the origin of the service.
   *
   * @default false
   */
  readonly scripts?: boolean;
  /**
   * Links have a page: `?view` shows the file, its facts, and what to copy. It has nothing of the file in it and runs nothing
   * of it. Without, `?view` is passed over, as any other word in a query.
   *
   * @default true
   */
  readonly view?: boolean;
  /**
   * Addresses and CIDR ranges of the proxies in front: from them, `X-Forwarded-For` tells the client, of which the rightmost
   * hop that is not itself trusted counts. Set it where all requests come from proxies; limits per client need it then.
   *
   * @default none
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Requests, downloads included, that run at the same time before one client is limited to a share: from three quarters of
   * this number on, a client (an IPv4 address or the /64 of an IPv6 address) that has a twentieth of it, or 16 where that is
   * more, gets `429 too-many-requests`. Loopback peers and trusted proxies that name no client have no such limit.
   *
   * @default Infinity: no limit
   */
  readonly maxRequests?: number;
  /** Told of every exchange when it has ended. For logs and metrics; must not throw. */
  readonly onAnswer?: (exchange: Exchange, answer: Answer, report: Report) => void;
  /**
   * Receives what whoever runs the service should know, such as which option allows the requests that were refused. Each
   * message comes once.
   *
   * @default process.emitWarning
   */
  readonly log?: (message: string) => void;
}

/** What the standalone server sets besides. */
export interface ServerHandlerOptions extends HandlerOptions {
  /** Why a request is refused for the host that it names; `null` where it is not. */
  readonly checkHost?: (exchange: Pick<Exchange, "authority">) => FixityError | null;
  /** What allows a cross-site request; see {@link crossSiteRefusal}. */
  readonly crossSiteRemedy?: (origin: string | null) => string;
  /** Which pages may show files, as images for example (Fetch Standard, "Cross-Origin-Resource-Policy header"). */
  readonly resourcePolicy?: ResourcePolicy;
}

/** Pages of which origins may show files. */
export type ResourcePolicy = "same-origin" | "cross-origin";

/** {@link HandlerOptions}, checked and complete. */
export interface ResolvedHandlerOptions {
  readonly authorize: (exchange: Exchange, action: Action) => Promise<void> | void;
  readonly origins: "*" | ReadonlySet<string>;
  readonly crossSite: "allow" | "refuse";
  readonly crossSiteRemedy: (origin: string | null) => string;
  readonly checkHost: (exchange: Pick<Exchange, "authority">) => FixityError | null;
  readonly resourcePolicy: ResourcePolicy;
  /** Who sends blobs in our place; `null` for nobody. */
  readonly delegate: Delegate | null;
  readonly fieldName: string | undefined;
  readonly form: ResolvedFormLimits;
  readonly interimResponses: boolean | "auto";
  readonly pace: PaceLimits;
  /** Files may be scripts and style sheets of pages. */
  readonly scripts: boolean;
  /** Links have a page. */
  readonly view: boolean;
  readonly trustedProxies: TrustedProxies;
  readonly maxRequests: number;
  readonly onAnswer: (exchange: Exchange, answer: Answer, report: Report) => void;
  readonly log: (message: string) => void;
}

/** @throws FixityError `invalid-option` */
export function resolveHandlerOptions(options: ServerHandlerOptions, store: BlobStore): ResolvedHandlerOptions {
  const origins = options.cors?.origins ?? [];
  const pace = {
    idleTimeout: options.idleTimeout ?? 60_000,
    minRate: options.minRate ?? 1024,
    rateWindow: options.rateWindow ?? 30_000,
  };
  for (const [name, value] of Object.entries(pace)) {
    if (!(value >= 0)) throw new FixityError("invalid-option", `${name} must be a number, 0 or more.`);
  }
  const { maxRequests = Infinity } = options;
  if (!(maxRequests >= 1)) throw new FixityError("invalid-option", "maxRequests must be a number, 1 or more.");
  const crossSite = options.crossSite ?? "refuse";
  if (crossSite !== "allow" && crossSite !== "refuse") {
    throw new FixityError("invalid-option", "crossSite must be allow or refuse.");
  }
  return {
    authorize: options.authorize ?? refuseRemoval,
    origins: origins === "*" ? "*" : new Set(origins.map(checkedOrigin)),
    crossSite,
    crossSiteRemedy: options.crossSiteRemedy ?? remedyByOption,
    checkHost: options.checkHost ?? (() => null),
    resourcePolicy: options.resourcePolicy ?? "cross-origin",
    delegate: delegateFor(options.downloads ?? { mode: "stream" }, store),
    fieldName: options.fieldName,
    form: resolveFormLimits(options.form ?? {}),
    interimResponses: options.interimResponses ?? "auto",
    pace,
    scripts: options.scripts ?? false,
    view: options.view ?? true,
    trustedProxies: new TrustedProxies(options.trustedProxies ?? []),
    maxRequests,
    onAnswer: options.onAnswer ?? (() => {}),
    log: options.log ?? ((message) => process.emitWarning(message, { type: "FixityWarning" })),
  };
}

function remedyByOption(origin: string | null): string {
  const listed = origin === null ? "its origin" : `"${origin}"`;
  return (
    `If it may, add ${listed} to the option cors.origins. If it is a page of the same site behind a proxy, set the option ` +
    `publicUrl. The option crossSite: "allow" lets the requests of all pages pass.`
  );
}

function checkedOrigin(origin: string): string {
  if (isOrigin(origin)) return origin;
  throw new FixityError(
    "invalid-option",
    `cors.origins has "${origin}": list origins such as https://app.example.com (scheme and host, without path or wildcard), or set "*".`,
  );
}

/** The default `authorize`. */
export function refuseRemoval(_exchange: Exchange, action: Action): void {
  if (action === "delete") throw new FixityError("forbidden", "Files are not removed here.");
}
