import { isIPv4, isIPv6 } from "node:net";

/**
 * `uri-host [ ":" port ]` (RFC 9110, section 7.2). The address in brackets is checked separately.
 */
const AUTHORITY = /^(\[[^\]]*\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::\d*)?$/;

/** `IPvFuture` (RFC 3986, section 3.2.2). */
const FUTURE_ADDRESS = /^v[0-9a-f]+\.[a-z0-9\-._~!$&'()*+,;=:]+$/i;

/**
 * DNS names have at most 253 characters. Longer hosts are not parsed: decoding Punycode takes
 * quadratic time.
 */
const MAX_HOST_LENGTH = 255;

/**
 * The host in a `Host` field or in a URL's authority, as written; `null` if the field is malformed.
 * An empty host is well-formed. Zone identifiers, as in `[fe80::1%25eth0]`, are not: they mean
 * nothing outside the client's machine.
 */
export function hostIn(authority: string): string | null {
  const host = AUTHORITY.exec(authority)?.[1];
  if (host === undefined || !host.startsWith("[")) return host ?? null;
  const address = host.slice(1, -1);
  return (isIPv6(address) && !address.includes("%")) || FUTURE_ADDRESS.test(address) ? host : null;
}

/**
 * A host as browsers serialize it (WHATWG URL, "host parser"), without a trailing dot: lower case,
 * Punycode, an IPv4 address in any notation as four decimal numbers, an IPv6 address compressed and
 * in brackets. `null` if it is not a host.
 */
export function canonicalHost(host: string): string | null {
  if (host.length > MAX_HOST_LENGTH || /[\s/?#@\\]/.test(host)) return null;
  return URL.parse(`http://${host}`)?.hostname.replace(/\.$/, "") || null;
}

/** Whether a canonical host is an IP address. */
export function isIpLiteral(host: string): boolean {
  return host.startsWith("[") || isIPv4(host);
}

/**
 * Whether a canonical host is `localhost` or a name below it. Browsers never resolve these in DNS
 * (RFC 6761, section 6.3).
 */
export function isLocalhost(host: string): boolean {
  return /(?:^|[^.]\.)localhost$/.test(host);
}
