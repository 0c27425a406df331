import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Link } from "../core/link.ts";
import type { Environment } from "../settings/config.ts";

/** Where `fixity serve` listens unless it is told otherwise. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:3000/uploads";

/** Where a command finds the service. */
export interface RemoteSources {
  /** `--to` or `--from`. */
  readonly endpoint: string | undefined;
  readonly env: Environment;
}

/** A service, and what may be told to it. */
export interface Remote {
  /** The collection, without a slash at its end. */
  readonly endpoint: URL;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The service that the user has chosen, by a flag, `FIXITY_URL` or not at all, with the token of `FIXITY_TOKEN`. A token has
 * no flag: other users of the machine read the arguments of its processes.
 *
 * @throws FixityError `invalid-option`
 */
export function remoteOf({ endpoint, env }: RemoteSources): Remote {
  const [name, text] =
    endpoint === undefined ? ["FIXITY_URL", env["FIXITY_URL"] || DEFAULT_ENDPOINT] : ["The address", endpoint];
  const url = URL.parse(withScheme(text));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new FixityError("invalid-option", `${name} must be an http(s) URL such as ${DEFAULT_ENDPOINT}.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new FixityError("invalid-option", `${name} must not hold a password: put a token into FIXITY_TOKEN.`);
  }
  // links never stand at the root, so whoever names only a host means the usual place
  url.pathname = url.pathname === "/" ? "/uploads" : url.pathname.replace(/\/+$/, "");
  url.search = "";
  url.hash = "";
  return { endpoint: url, headers: authorization(env) };
}

/**
 * An address with its scheme: `host:port` alone is http on this machine, where no TLS is usual, and https elsewhere, so that a
 * token never crosses a network in the clear unless the user writes `http://`.
 */
function withScheme(text: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  const url = URL.parse(`https://${text}`);
  const isHere = url !== null && /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  return `${isHere ? "http" : "https"}://${text}`;
}

/** The same for a link; a path and a last segment stay what they are. */
function withHostScheme(text: string): string {
  // a first segment with a port or a dot in it is a host
  const isHost = /^(?:[^/?#]+:\d+|localhost|\[[^/]+\]|(?!\.)[^/?#:]+\.[^/?#:]+)\//i.test(text);
  return isHost ? withScheme(text) : text;
}

/** A link as users have it, and the service to ask for it. */
export interface RemoteLink extends Remote {
  readonly url: URL;
  readonly link: Link;
  readonly digest: Digest;
}

/**
 * The address of a link that may be given as a URL, as a path, as its last segment, or as a digest. The token goes to the
 * chosen service only: a link to elsewhere must not carry it there.
 *
 * @throws FixityError `invalid-link`, or `invalid-option` where the settings are wrong
 */
export function remoteLink(text: string, sources: RemoteSources): RemoteLink {
  const remote = remoteOf(sources);
  const url = URL.parse(withHostScheme(text.replace(/^sha256:/, "")), `${remote.endpoint.href}/`);
  if (url === null || !/^https?:$/.test(url.protocol)) throw notOne(text);
  const link = linkIn(url, text);
  url.hash = "";
  // what a browser shows of it: with `view` the service sends a page about the file
  if (url.searchParams.has("view")) url.searchParams.delete("view");
  const endpoint = new URL(".", url);
  endpoint.pathname = endpoint.pathname.replace(/\/+$/, "");
  const isAtHome = url.origin === remote.endpoint.origin;
  return { url, link, digest: link.digest, endpoint, headers: isAtHome ? remote.headers : {} };
}

function linkIn(url: URL, text: string): Link {
  try {
    return Link.parse(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
  } catch (error) {
    throw notOne(text, error);
  }
}

function notOne(text: string, cause?: unknown): FixityError {
  const message = `${JSON.stringify(text)} is neither a link nor a digest (sha256:<64 lower-case hex digits>).`;
  return new FixityError("invalid-link", message, { cause });
}

function authorization(env: Environment): Readonly<Record<string, string>> {
  const token = env["FIXITY_TOKEN"]?.trim() ?? "";
  if (token === "") return {};
  if (/[^\x21-\x7e]/.test(token)) {
    throw new FixityError("invalid-option", "FIXITY_TOKEN must be one line of ASCII without spaces.");
  }
  return { Authorization: `Bearer ${token}` };
}
