import { FixityError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import { bearerToken } from "./fields/authorization.ts";

/** Methods that change nothing (RFC 9110, section 9.2.1). */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Host names have at most 253 characters. Longer origins are not parsed: decoding Punycode takes quadratic time. */
const MAX_ORIGIN_LENGTH = 300;

/** Which pages may make a browser change something here. */
export interface TrustedOrigins {
  /** Origins that may use the service from a browser, or all of them. */
  readonly origins: "*" | ReadonlySet<string>;
  /** The origin of the service's public URL, where it has one. */
  readonly own: string | null;
}

/** The parts of a request that {@link isCrossSite} looks at. */
export type CrossSiteFacts = Pick<Exchange, "fields" | "authority">;

/**
 * Whether a page of a site that is not trusted made the browser send this request. Browsers send forms, `no-cors` requests
 * and beacons to any server that they can reach, with cookies and from inside a firewall, and ask nobody before.
 *
 * `Sec-Fetch-Site` is decisive where it is present: a page cannot set it. Browsers before 2023 lack it, and all browsers
 * leave it out on plain HTTP to anything but loopback; `Origin` remains there. Its scheme is not compared, because a proxy
 * may have removed TLS. Clients that are no browsers send neither. A page cannot send a bearer token without a preflight.
 */
export function isCrossSite({ fields, authority }: CrossSiteFacts, { origins, own }: TrustedOrigins): boolean {
  if (origins === "*" || bearerToken(fields.get("authorization")) !== null) return false;
  const origin = fields.get("origin");
  if (origin !== undefined && (origins.has(origin) || origin === own)) return false;
  const site = fields.get("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  return origin !== undefined && !isOriginOf(authority, origin);
}

/** Whether a request by any of these methods is harmless, whoever makes a browser send it. */
export function areSafe(...methods: readonly string[]): boolean {
  return methods.every((method) => SAFE.has(method));
}

/** @param remedy what allows such requests, as a sentence; it is given the origin to allow, or `null` where there is none */
export function crossSiteRefusal({ fields }: CrossSiteFacts, remedy: (origin: string | null) => string): FixityError {
  const origin = parseOrigin(fields.get("origin"))?.origin ?? null;
  const page = origin === null ? "A page of another site" : `A page of another site, ${origin},`;
  return new FixityError(
    "cross-site-request",
    `${page} made the browser send this request. Nothing was stored or changed. ${remedy(origin)}`,
    { facts: origin === null ? {} : { origin } },
  );
}

/** The port that is not written is that of the origin's scheme, on both sides. */
function isOriginOf(authority: string | undefined, text: string): boolean {
  const origin = parseOrigin(text);
  if (origin === null || authority === undefined || authority.length > MAX_ORIGIN_LENGTH) return false;
  // anything else than a host and a port would be parsed as another part of the URL
  if (/[/?#@\\\s]/.test(authority)) return false;
  return URL.parse(`${origin.protocol}//${authority}`)?.host === origin.host;
}

/** A serialized origin of http or https; `null` for anything else, the opaque origin `null` included. */
function parseOrigin(text: string | undefined): URL | null {
  if (text === undefined || text.length > MAX_ORIGIN_LENGTH) return null;
  return /^https?:\/\/[^\s/?#@\\]+$/i.test(text) ? URL.parse(text) : null;
}
