import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Link } from "../core/link.ts";
import type { Environment } from "../settings/config.ts";
import { defaultServer, savedServer } from "./saved-servers.ts";

/** Where `fixity serve` listens by default. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:3000/uploads";

/** Where a command finds the address of the service. */
export interface RemoteSources {
  /** The flag `--to` or `--from`. */
  readonly endpoint: string | undefined;
  readonly env: Environment;
}

/** A service, and how to authenticate to it. */
export interface Remote {
  /** The URL of the uploads, without a slash at its end. */
  readonly endpoint: URL;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the token is from; `null` if there is none. */
  readonly tokenSource: TokenSource;
}

export type TokenSource = "FIXITY_TOKEN" | "login" | null;

/**
 * The service that the user has chosen with a flag, `FIXITY_URL` or `fixity login`, or the default
 * one, with the token of `FIXITY_TOKEN`, or the one that was saved for exactly this origin. A token
 * has no flag, because other users of the machine can read the arguments of a process.
 *
 * @throws FixityError `invalid-option`
 */
export function remoteOf({ endpoint, env }: RemoteSources): Remote {
  const given = env["FIXITY_URL"] || undefined;
  const url =
    endpoint !== undefined
      ? endpointOf(endpoint, "The address")
      : endpointOf(given ?? defaultServer(env)?.endpoint ?? DEFAULT_ENDPOINT, "FIXITY_URL");
  return { endpoint: url, ...authorization(url, env) };
}

/**
 * The service at a URL, with a token that is meant for it or the one that was saved for exactly this
 * origin.
 *
 * @throws FixityError `invalid-option`
 */
export function remoteAt(text: string, token: string | undefined, env: Environment): Remote {
  const url = endpointOf(text, "The address");
  return { endpoint: url, ...authorization(url, { ...env, FIXITY_TOKEN: token }) };
}

/**
 * The URL of the uploads of a service, from an address as a user writes it.
 *
 * @param name of the source, for the message
 * @throws FixityError `invalid-option`
 */
export function endpointOf(text: string, name: string): URL {
  const url = URL.parse(withScheme(text));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new FixityError("invalid-option", `${name} must be an http(s) URL such as ${DEFAULT_ENDPOINT}.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new FixityError("invalid-option", `${name} must not contain a password: put a token into FIXITY_TOKEN.`);
  }
  // Uploads are never at the root, so a host alone means the default path.
  url.pathname = url.pathname === "/" ? "/uploads" : url.pathname.replace(/\/+$/, "");
  url.search = "";
  url.hash = "";
  return url;
}

/**
 * An address with its scheme: `host:port` alone means http on this machine, where TLS is unusual,
 * and https elsewhere, so that a token never crosses a network in clear text unless the user writes
 * `http://`.
 */
function withScheme(text: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  const url = URL.parse(`https://${text}`);
  return `${url !== null && isThisMachine(url) ? "http" : "https"}://${text}`;
}

/** Whether a URL is that of this machine. */
export function isThisMachine({ hostname }: URL): boolean {
  return /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
}

/** Adds the scheme to a link that begins with a host; a path or last segment stays as it is. */
function withHostScheme(text: string): string {
  // A first segment with a port or a dot in it is a host.
  const hasHost = /^(?:[^/?#]+:\d+|localhost|\[[^/]+\]|(?!\.)[^/?#:]+\.[^/?#:]+)\//i.test(text);
  return hasHost ? withScheme(text) : text;
}

/** A link, and the service to request it from. */
export interface RemoteLink extends Remote {
  readonly url: URL;
  readonly link: Link;
  readonly digest: Digest;
}

/**
 * Resolves a link, given as a URL, a path, its last segment or a digest. The token is sent to the
 * chosen service only, never to another origin that a link points to.
 *
 * @throws FixityError `invalid-link`, or `invalid-option` if the settings are wrong
 */
export function remoteLink(text: string, sources: RemoteSources): RemoteLink {
  const remote = remoteOf(sources);
  const url = URL.parse(withHostScheme(text.replace(/^sha256:/, "")), `${remote.endpoint.href}/`);
  if (url === null || !/^https?:$/.test(url.protocol)) throw invalidLink(text);
  const link = linkIn(url, text);
  url.hash = "";
  // With `view`, as in the address of the file's page in a browser, the service would send that
  // page. A signature covers `view`: see `withoutPage`.
  if (url.searchParams.has("view") && !url.searchParams.has("signature")) url.searchParams.delete("view");
  const endpoint = new URL(".", url);
  endpoint.pathname = endpoint.pathname.replace(/\/+$/, "");
  // FIXITY_TOKEN is for the chosen service; another one has the token of its own login.
  const isChosen = url.origin === remote.endpoint.origin;
  const { headers, tokenSource } = isChosen ? remote : authorization(url, { ...sources.env, FIXITY_TOKEN: undefined });
  return { url, link, digest: link.digest, endpoint, headers, tokenSource };
}

function linkIn(url: URL, text: string): Link {
  try {
    return Link.parse(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
  } catch (error) {
    throw invalidLink(text, error);
  }
}

function invalidLink(text: string, cause?: unknown): FixityError {
  const message = `${JSON.stringify(text)} is neither a link nor a digest (sha256:<64 lower-case hex digits>).`;
  return new FixityError("invalid-link", message, { cause });
}

/** The token for a service: it is sent to no other origin than the one that it was saved for. */
function authorization({ origin }: URL, env: Environment): Pick<Remote, "headers" | "tokenSource"> {
  const given = env["FIXITY_TOKEN"]?.trim() ?? "";
  if (given !== "" && !isToken(given)) {
    throw new FixityError("invalid-option", "FIXITY_TOKEN must be a single line of ASCII without spaces.");
  }
  if (given !== "") return { headers: authorizationHeader(given), tokenSource: "FIXITY_TOKEN" };
  const saved = savedServer(origin, env)?.token ?? null;
  if (saved === null) return { headers: {}, tokenSource: null };
  return { headers: authorizationHeader(saved), tokenSource: "login" };
}

export function authorizationHeader(token: string): Readonly<Record<string, string>> {
  return { Authorization: `Bearer ${token}` };
}

/** Whether a text can be sent as a token. */
export function isToken(text: string): boolean {
  return text !== "" && !/[^\x21-\x7e]/.test(text);
}
