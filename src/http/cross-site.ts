import { FixityError } from "../core/errors.ts";
import type { AllowedOrigins } from "./cors.ts";
import type { Exchange } from "./exchange.ts";
import { bearerToken } from "./fields/authorization.ts";

/** Methods without side effects (RFC 9110, section 9.2.1). */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Host names have at most 253 characters. Longer origins are not parsed: decoding Punycode takes quadratic time. */
const MAX_ORIGIN_LENGTH = 300;

/** The origins whose pages may make a browser change something here. */
export interface TrustedOrigins {
  /** Origins that may use the service from a browser. */
  readonly origins: AllowedOrigins;
  /** The origin of the service's public URL, or `null`. */
  readonly own: string | null;
}

/** What {@link isCrossSite} reads of a request. */
export type CrossSiteFacts = Pick<Exchange, "fields" | "authority">;

/**
 * Whether a page of an untrusted site made the browser send this request. Browsers send forms, `no-cors` requests and beacons
 * to any server they can reach, with cookies and from inside a firewall, without a preflight.
 *
 * `Sec-Fetch-Site` decides if it is present: a page cannot set it. Browsers before 2023 lack it, and all browsers omit it on
 * plain HTTP to anything but loopback. `Origin` decides then. Its scheme is not compared, because a proxy may have terminated
 * TLS. Clients other than browsers send neither field. A page cannot send a bearer token without a preflight.
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

/** @param remedy returns a sentence that says what allows such requests, for an origin or for `null` if there is none */
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

/** A serialized origin of http or https; `null` for anything else, including the opaque origin `null`. */
function parseOrigin(text: string | undefined): URL | null {
  if (text === undefined || text.length > MAX_ORIGIN_LENGTH) return null;
  return /^https?:\/\/[^\s/?#@\\]+$/i.test(text) ? URL.parse(text) : null;
}
