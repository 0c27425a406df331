import { FixityClientError } from "./errors.ts";

/** A link, as requests and answers need it. */
export interface ParsedLink {
  /** Absolute. */
  readonly url: string;
  /** In hex. */
  readonly hex: string;
}

const SEGMENT = /^(?:sha256:)?(([0-9a-f]{64})(?:\.[A-Za-z0-9]{1,16})?)$/;

/**
 * Reads a link: a URL, a path, the last segment alone, or `sha256:<hex>`.
 *
 * @throws FixityClientError `invalid-link`
 */
export function parseLink(link: string | URL, endpoint: string): ParsedLink {
  const bare = typeof link === "string" ? SEGMENT.exec(link) : null;
  const url = bare === null ? URL.parse(String(link), endpoint) : new URL(`${endpoint}/${bare[1]}`);
  const hex = url === null ? null : digestIn(url);
  if (url === null || hex === null || !/^https?:$/.test(url.protocol)) {
    throw new FixityClientError(
      "invalid-link",
      "A link ends in 64 lower-case hex digits, then perhaps a dot and an extension.",
    );
  }
  url.hash = "";
  // with it the service sends a page about the file
  if (url.searchParams.has("view")) url.searchParams.delete("view");
  return { url: url.href, hex };
}

/** The digest in hex that a URL's last segment names; `null` where it is none. */
export function digestIn(url: URL): string | null {
  return SEGMENT.exec(url.pathname.split("/").at(-1) ?? "")?.[2] ?? null;
}
