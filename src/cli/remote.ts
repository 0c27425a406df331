import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Link } from "../core/link.ts";
import type { Environment } from "../settings/config.ts";

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
}

/**
 * The service that the user has chosen with a flag or `FIXITY_URL`, or the default one, with the
 * token of `FIXITY_TOKEN`. The token has no flag, because other users of the machine can read the
 * arguments of a process.
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
    throw new FixityError("invalid-option", `${name} must not contain a password: put a token into FIXITY_TOKEN.`);
  }
  // Uploads are never at the root, so a host alone means the default path.
  url.pathname = url.pathname === "/" ? "/uploads" : url.pathname.replace(/\/+$/, "");
  url.search = "";
  url.hash = "";
  return { endpoint: url, headers: authorization(env) };
}

/**
 * An address with its scheme: `host:port` alone means http on this machine, where TLS is unusual,
 * and https elsewhere, so that a token never crosses a network in clear text unless the user writes
 * `http://`.
 */
function withScheme(text: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  const url = URL.parse(`https://${text}`);
  const isThisMachine = url !== null && /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  return `${isThisMachine ? "http" : "https"}://${text}`;
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
  // page.
  if (url.searchParams.has("view")) url.searchParams.delete("view");
  const endpoint = new URL(".", url);
  endpoint.pathname = endpoint.pathname.replace(/\/+$/, "");
  const isSameOrigin = url.origin === remote.endpoint.origin;
  return { url, link, digest: link.digest, endpoint, headers: isSameOrigin ? remote.headers : {} };
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

function authorization(env: Environment): Readonly<Record<string, string>> {
  const token = env["FIXITY_TOKEN"]?.trim() ?? "";
  if (token === "") return {};
  if (/[^\x21-\x7e]/.test(token)) {
    throw new FixityError("invalid-option", "FIXITY_TOKEN must be a single line of ASCII without spaces.");
  }
  return { Authorization: `Bearer ${token}` };
}
