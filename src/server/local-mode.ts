import { FixityError } from "../core/errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { canonicalHost, hostIn, isIpLiteral, isLocalhost } from "../http/fields/host.ts";
import { type Config, isLoopbackHost, needsCredentials } from "../settings/config.ts";

/** The settings that decide who may upload. */
type AccessConfig = Pick<Config, "tokens" | "permitKeys" | "open">;

/**
 * Local mode: the server has neither tokens nor permit keys nor `UPLOAD_OPEN`, so it listens on loopback and trusts
 * every client that can reach it. A developer's browser can, and with it every web page that is
 * open there. Two rules keep those pages out: cross-site requests are refused (`http/origins.ts`),
 * and so are requests for unknown hosts. Without the second rule, a page could point its own host
 * name at 127.0.0.1 and become same-origin (DNS rebinding).
 */
export function isLocalMode(config: AccessConfig): boolean {
  return !needsCredentials(config) && !config.open;
}

/** Whether only this machine uses a server with this configuration. */
export function isLocalOnly(config: AccessConfig & Pick<Config, "publicUrl">): boolean {
  return isLocalMode(config) && (config.publicUrl === undefined || isLoopbackHost(new URL(config.publicUrl).hostname));
}

type CheckHost = (exchange: Pick<Exchange, "authority">) => FixityError | null;

/**
 * The check of `Host` in local mode. IP addresses and `localhost` always pass, because no other
 * site can have them as its host; other names have to be known. HTTP/1.0 without `Host` passes,
 * because no browser sends it.
 */
export function hostCheck({ hosts = [], publicUrl }: Pick<Config, "hosts" | "publicUrl">): CheckHost {
  const known = new Set(hosts);
  const publicHost = publicUrl === undefined ? null : canonicalHost(new URL(publicUrl).hostname);
  if (publicHost !== null) known.add(publicHost);
  return ({ authority }) => {
    if (authority === undefined) return null;
    const host = hostIn(authority);
    const canonical = host === null ? null : canonicalHost(host);
    if (canonical !== null && (isIpLiteral(canonical) || isLocalhost(canonical) || known.has(canonical))) return null;
    return unknownHost(canonical);
  };
}

/** Warnings for the operator about who can use a server with this configuration. */
export function accessWarnings(config: AccessConfig & Pick<Config, "publicUrl" | "hosts">): readonly string[] {
  const warnings: string[] = [...(config.tokens?.warnings ?? [])];
  if (isLocalMode(config) && !isLocalOnly(config)) {
    warnings.push(
      `anybody who reaches ${config.publicUrl} can upload: there are no tokens, and UPLOAD_PUBLIC_URL is not on this ` +
        `machine. Set UPLOAD_TOKENS, or UPLOAD_OPEN=yes if that is what you want`,
    );
  }
  if (config.hosts !== undefined && !isLocalMode(config)) {
    warnings.push(
      "UPLOAD_HOSTS has no effect: only a server with neither tokens nor permit keys nor UPLOAD_OPEN checks Host",
    );
  }
  return warnings;
}

function unknownHost(host: string | null): FixityError {
  const requested = host === null ? "an empty or invalid host" : `the host ${host}`;
  const setting = host === null ? "UPLOAD_HOSTS" : `UPLOAD_HOSTS=${host}`;
  return new FixityError(
    "unknown-host",
    `The request is for ${requested}. Without tokens this server responds only to IP addresses, localhost, the host of ` +
      `UPLOAD_PUBLIC_URL and those of UPLOAD_HOSTS, so that no web site can reach it under a name of its own. If this is a ` +
      `name of this server, set ${setting} and restart it. If a proxy is in front, it must pass on the Host of the client.`,
    { facts: host === null ? {} : { host } },
  );
}
