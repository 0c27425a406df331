/**
 * Parses and formats header fields, links and JSON of requests and responses. All functions are
 * pure.
 */
import { FixityClientError } from "./errors.ts";
import type { WireResponse } from "./platform.ts";

/** `Content-Disposition` with a file name in any script (RFC 6266, RFC 8187). */
export function formatDisposition(filename: string): string {
  // RFC 8187 leaves fewer characters unescaped than encodeURIComponent does
  const encoded = encodeURIComponent(filename.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `inline; filename*=UTF-8''${encoded}`;
}

/** `Repr-Digest` (RFC 9530) of a SHA-256 in hex. */
export function formatReprDigest(hex: string): string {
  return `sha-256=:${base64OfHex(hex)}:`;
}

/** The `integrity` of a SHA-256 in hex (Subresource Integrity, section 3.5). */
export function formatIntegrity(hex: string): string {
  return `sha256-${base64OfHex(hex)}`;
}

function base64OfHex(hex: string): string {
  return btoa(hex.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16))));
}

/** Encodes bytes in hex. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A non-negative integer whose parameters are ignored (RFC 9651, section 3.3); `null` for anything
 * else.
 */
export function parseInteger(text: string | null): number | null {
  const [, digits] = /^(\d{1,15})(?:;.*)?$/.exec(text ?? "") ?? [];
  return digits === undefined ? null : Number(digits);
}

/**
 * Whether a response is the final one to its upload (`Upload-Complete: ?1`), whether the upload
 * succeeded or not.
 */
export function isComplete({ field }: Pick<WireResponse, "field">): boolean {
  return /^ *\?1 *(?:;|$)/.test(field("upload-complete") ?? "");
}

/** The limits of an upload resource. */
export interface UploadLimits {
  /** The most bytes of one append. */
  readonly max: number;
  /** The fewest bytes of one append, unless it is the last. */
  readonly min: number;
  /** Seconds for which the server keeps the upload from now on; `null` if it states none. */
  readonly age: number | null;
}

/** `Upload-Limit`: a dictionary of integers. Unknown keys are ignored. */
export function parseLimits(text: string | null): UploadLimits {
  const limit = (key: string): number | null =>
    parseInteger(new RegExp(`(?:^|[\\s,])${key}=(\\d+)(?![\\d.])`).exec(text ?? "")?.[1] ?? null);
  return { max: limit("max-append-size") ?? Infinity, min: limit("min-append-size") ?? 0, age: limit("max-age") };
}

/** A link to a blob. */
export interface ParsedLink {
  /** Absolute. */
  readonly url: string;
  /** The digest in hex. */
  readonly hex: string;
}

const LINK_SEGMENT = /^(?:sha256:)?(([0-9a-f]{64})(?:\.[A-Za-z0-9]{1,16})?)$/;

/**
 * Reads a link: a URL, a path, its last segment alone, or `sha256:<hex>`.
 *
 * @throws FixityClientError `invalid-link`
 */
export function parseLink(link: string | URL, endpoint: string): ParsedLink {
  const segment = typeof link === "string" ? LINK_SEGMENT.exec(link) : null;
  const url = segment === null ? URL.parse(String(link), endpoint) : new URL(`${endpoint}/${segment[1]}`);
  const hex = url === null ? null : digestIn(url);
  if (url === null || hex === null || !/^https?:$/.test(url.protocol)) {
    throw new FixityClientError(
      "invalid-link",
      `${JSON.stringify(String(link).slice(0, 200))} is no link: a link ends in 64 lower-case hex digits and, optionally, a dot and an extension.`,
    );
  }
  url.hash = "";
  // the service would send a page about the file
  if (url.searchParams.has("view")) {
    // a signature covers this parameter, too
    if (url.searchParams.has("signature")) {
      throw new FixityClientError("invalid-link", "This is a signed link to the page about a file, not to the file.");
    }
    url.searchParams.delete("view");
  }
  return { url: url.href, hex };
}

/** The digest in hex that a URL's last segment names, or `null`. */
export function digestIn(url: URL): string | null {
  return LINK_SEGMENT.exec(url.pathname.split("/").at(-1) ?? "")?.[2] ?? null;
}

/** The members of a JSON object; `null` for any other text. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
