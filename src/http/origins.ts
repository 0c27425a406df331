/**
 * Pages of other origins. CORS lets those of allowed origins use the service ({@link withCors}).
 * Browsers send some requests without asking CORS first; those that change something are refused if
 * they come from another site ({@link isCrossSite}).
 */
import { FixityError } from "../core/errors.ts";
import { bearerToken } from "./fields/authorization.ts";
import { type Answer, type Exchange, withFields } from "./exchange.ts";

/** The origins whose pages may use the service from a browser. */
export type AllowedOrigins = "*" | ReadonlySet<string>;

/** Response fields that pages of other origins may read, in addition to the safelisted ones. */
const EXPOSED_FIELDS = [
  "Accept-Patch",
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Encoding",
  "Content-Location",
  "Content-Range",
  "ETag",
  "Location",
  "Problem-Code",
  "Repr-Digest",
  "Retry-After",
  "Tus-Checksum-Algorithm",
  "Tus-Extension",
  "Tus-Max-Size",
  "Tus-Resumable",
  "Tus-Version",
  "Upload-Complete",
  "Upload-Defer-Length",
  "Upload-Expires",
  "Upload-Length",
  "Upload-Limit",
  "Upload-Metadata",
  "Upload-Offset",
].join(", ");

const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/**
 * Request fields that the service reads and pages of other origins may send, in addition to the
 * safelisted ones. A preflight is also granted any other fields it asks for, see
 * {@link allowedFields}.
 */
const ALLOWED_FIELDS = [
  "Authorization",
  "Cache-Control",
  "Content-Digest",
  "Content-Disposition",
  "Content-Encoding",
  "Content-Type",
  "If-Match",
  "If-None-Match",
  "If-Range",
  "Incremental",
  "Range",
  "Repr-Digest",
  "Tus-Resumable",
  "Upload-Checksum",
  "Upload-Complete",
  "Upload-Concat",
  "Upload-Defer-Length",
  "Upload-Draft-Interop-Version",
  "Upload-Length",
  "Upload-Metadata",
  "Upload-Offset",
  "Want-Repr-Digest",
  "X-HTTP-Method-Override",
  "X-Request-ID",
  "X-Requested-With",
];

/**
 * Whether a text is an origin as browsers serialize it: `http` or `https`, the host in lower case
 * and ASCII, and the port unless it is the default. Origins are compared, not matched: one with a
 * wildcard would equal none.
 */
export function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text && !url.host.includes("*");
}

const ALLOWED_NAMES: ReadonlySet<string> = new Set(ALLOWED_FIELDS.map((name) => name.toLowerCase()));

/** What {@link withCors} allows. */
export interface CorsRules {
  readonly origins: AllowedOrigins;
  /** Whether everybody may read what the response contains, from any network. */
  readonly isPublicRead: boolean;
}

/**
 * Adds the fields that let pages use a response (WHATWG Fetch, "CORS protocol"): pages of the
 * allowed origins, or all pages if everybody may read it. The latter does not depend on the
 * request, so that shared caches can reuse the response for every page.
 */
export function withCors(exchange: Exchange, answer: Answer, { origins, isPublicRead }: CorsRules): Answer {
  if (isPublicRead) {
    return withFields(answer, {
      "Access-Control-Allow-Origin": "*",
      "Access-Control-Expose-Headers": "*",
      ...(isPreflight(exchange) && preflightFields(exchange, "GET, HEAD")),
    });
  }
  if (origins !== "*" && origins.size === 0) return answer;
  const vary = origins === "*" ? {} : { Vary: addVary(answer.fields["Vary"]) };
  const origin = exchange.fields.get("origin");
  if (origin === undefined || (origins !== "*" && !origins.has(origin))) return withFields(answer, vary);
  return withFields(answer, {
    ...vary,
    "Access-Control-Allow-Origin": origins === "*" ? "*" : origin,
    "Access-Control-Expose-Headers": EXPOSED_FIELDS,
    ...(isPreflight(exchange) && preflightFields(exchange, ALLOWED_METHODS)),
  });
}

function preflightFields(exchange: Exchange, methods: string): Record<string, string> {
  return {
    "Access-Control-Allow-Methods": methods,
    "Access-Control-Allow-Headers": allowedFields(exchange),
    "Access-Control-Max-Age": "86400",
  };
}

/** Whether a request is one for reading, or the preflight of one. */
export function isForReading(exchange: Exchange): boolean {
  const { method, fields } = exchange;
  const actual = isPreflight(exchange) ? fields.get("access-control-request-method") : method;
  return actual === "GET" || actual === "HEAD";
}

function isPreflight(exchange: Exchange): boolean {
  return exchange.method === "OPTIONS" && exchange.fields.get("access-control-request-method") !== undefined;
}

/**
 * The known names, and every other valid name in the preflight. Upload libraries add fields of
 * their own, and one field that is not allowed fails the whole request with an error that the page
 * cannot read. Credentials are not allowed, so a page can send nothing that other clients cannot.
 * `*` would do the same, but does not cover `Authorization`.
 */
function allowedFields({ fields }: Exchange): string {
  const requested = (fields.get("access-control-request-headers") ?? "").split(",").map((name) => name.trim());
  const others = requested.filter(
    (name) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) && !ALLOWED_NAMES.has(name.toLowerCase()),
  );
  return [...ALLOWED_FIELDS, ...new Set(others)].join(", ");
}

function addVary(vary: string | undefined): string {
  return vary === undefined ? "Origin" : `${vary}, Origin`;
}

/** Methods without side effects (RFC 9110, section 9.2.1). */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Host names have at most 253 characters. Longer origins are not parsed: decoding Punycode takes
 * quadratic time.
 */
const MAX_ORIGIN_LENGTH = 300;

/** The origins whose pages may make a browser send requests that change something. */
export interface TrustedOrigins {
  /** Origins that may use the service from a browser. */
  readonly origins: AllowedOrigins;
  /** The origin of the service's public URL, or `null`. */
  readonly own: string | null;
}

/** What {@link isCrossSite} reads of a request. */
export type CrossSiteFacts = Pick<Exchange, "fields" | "authority">;

/**
 * Whether a page of an untrusted site made the browser send this request. Browsers send forms,
 * `no-cors` requests and beacons to any server they can reach, with cookies and from inside a
 * firewall, without a preflight.
 *
 * `Sec-Fetch-Site` decides if it is present: a page cannot set it. Browsers before 2023 lack it,
 * and all browsers omit it on plain HTTP to anything but loopback. `Origin` decides then. Its
 * scheme is not compared, because a proxy may have terminated TLS. Clients other than browsers send
 * neither field. A page cannot send a bearer token without a preflight.
 */
export function isCrossSite({ fields, authority }: CrossSiteFacts, { origins, own }: TrustedOrigins): boolean {
  if (origins === "*" || bearerToken(fields.get("authorization")) !== null) return false;
  const origin = fields.get("origin");
  if (origin !== undefined && (origins.has(origin) || origin === own)) return false;
  const site = fields.get("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  return origin !== undefined && !isOriginOf(authority, origin);
}

/** Whether all of these methods are safe, whichever page made the browser send the request. */
export function areSafe(...methods: readonly string[]): boolean {
  return methods.every((method) => SAFE_METHODS.has(method));
}

/**
 * @param remedy returns a sentence that says what allows such requests, for an origin or for `null`
 *   if there is none
 */
export function crossSiteRefusal({ fields }: CrossSiteFacts, remedy: (origin: string | null) => string): FixityError {
  const origin = parseOrigin(fields.get("origin"))?.origin ?? null;
  const page = origin === null ? "A page of another site" : `A page of another site, ${origin},`;
  return new FixityError(
    "cross-site-request",
    `${page} made the browser send this request. Nothing was stored or changed. ${remedy(origin)}`,
    { facts: origin === null ? {} : { origin } },
  );
}

/** A missing port means the default port of the origin's scheme, on both sides. */
function isOriginOf(authority: string | undefined, text: string): boolean {
  const origin = parseOrigin(text);
  if (origin === null || authority === undefined || authority.length > MAX_ORIGIN_LENGTH) return false;
  // Everything but a host and a port would be parsed as another component of the URL.
  if (/[/?#@\\\s]/.test(authority)) return false;
  return URL.parse(`${origin.protocol}//${authority}`)?.host === origin.host;
}

/**
 * A serialized origin of http or https; `null` for anything else, including the opaque origin
 * `null`.
 */
function parseOrigin(text: string | undefined): URL | null {
  if (text === undefined || text.length > MAX_ORIGIN_LENGTH) return null;
  return /^https?:\/\/[^\s/?#@\\]+$/i.test(text) ? URL.parse(text) : null;
}
