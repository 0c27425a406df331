import { cleanFileName } from "../core/file-name.ts";
import { cleanExtension, type Link } from "../core/link.ts";
import { mediaTypeOf, OCTET_STREAM } from "../core/media-type.ts";
import { servedType, varyOf } from "./active-content.ts";
import { formatDisposition } from "./fields/content-disposition.ts";
import { formatReprDigest } from "./fields/digest-fields.ts";
import { etagOf } from "./fields/etag.ts";
import type { Reading } from "./access.ts";

/** A file that is opened in a browser may display itself, and nothing else. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox";

/** A blob never changes, so a cached response never expires (RFC 8246). */
export const PUBLIC_CACHE_CONTROL = "public, max-age=31536000, immutable";

/**
 * The `Cache-Control` of a file. What only some may read is kept by private caches alone, and no
 * longer than the permission lasts: without an end of it, they ask each time.
 */
export function cacheControlOf({ isPublic, expires }: Pick<Reading, "isPublic" | "expires">): string {
  if (isPublic) return PUBLIC_CACHE_CONTROL;
  if (expires === null) return "private, no-cache";
  return `private, max-age=${Math.max(0, Math.floor((expires - Date.now()) / 1000))}`;
}

/**
 * The fields by which caches drop all responses about a blob at once, whatever the extension and the
 * query of the link: `Cache-Tag` of CDNs, and `Cache-Groups` of RFC 9875. A removal also invalidates
 * the group in the caches that it passes (section 3 there). An upload does not: it changes no bytes.
 */
export function cacheTagFields(
  { digest: { hex } }: Link,
  method: string,
  { status }: { readonly status: number },
): Record<string, string> {
  const isRemoved = method === "DELETE" && status < 300;
  return {
    "Cache-Tag": hex,
    "Cache-Groups": `"${hex}"`,
    ...(isRemoved && { "Cache-Group-Invalidation": `"${hex}"` }),
  };
}

/**
 * Which origins' pages may embed files, as images for example (Fetch Standard,
 * "Cross-Origin-Resource-Policy header").
 */
export type ResourcePolicy = "same-origin" | "cross-origin";

/** How to serve a blob. */
export interface ServingOptions {
  /** The name to save the file under. */
  readonly filename: string | null;
  /** Whether the client asked for a download rather than for display. */
  readonly download: boolean;
  /** Whether the client asked for a PDF to be displayed rather than downloaded. */
  readonly inline?: boolean;
  /** Whether files may be scripts and style sheets of pages. */
  readonly scripts: boolean;
  readonly resourcePolicy: ResourcePolicy;
  readonly cacheControl: string;
}

/**
 * The fields that 200, 206 and 304 share: which bytes these are, for how long, and what a browser
 * may do with them. A 304 updates a cached response, which may lack fields that newer versions
 * send.
 */
export function commonFields(
  link: Link,
  { resourcePolicy, cacheControl }: Pick<ServingOptions, "resourcePolicy" | "cacheControl">,
): Record<string, string> {
  return {
    ETag: etagOf(link.digest),
    "Cache-Control": cacheControl,
    ...varyOf(link),
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": resourcePolicy,
  };
}

/**
 * The fields of a 200 or 206 except length and range. An uploaded file can never act as a page of
 * the site: types are not sniffed, scripts and forms are disabled, and everything but images,
 * audio, video and plain text is downloaded rather than displayed. A PDF is displayed on request: in
 * a viewer of the browser, which is no page of the site, and under the same sandbox.
 *
 * `Want-Repr-Digest` is a hint and ignored: a shared cache would serve a response without
 * `Repr-Digest` to everybody.
 */
export function blobFields(
  link: Link,
  { filename, download, inline: wantsInline = false, scripts, ...common }: ServingOptions,
): Record<string, string> {
  // Code is downloaded even if it is served as plain text.
  const inline = !download && (isInert(link.mediaType) || (wantsInline && isPdf(link.mediaType)));
  return {
    ...commonFields(link, common),
    "Content-Type": servedType(link, scripts),
    "Accept-Ranges": "bytes",
    "Repr-Digest": formatReprDigest(link.digest),
    ...((!inline || filename !== null) && {
      "Content-Disposition": formatDisposition(inline ? "inline" : "attachment", filename),
    }),
  };
}

/**
 * The name under which a link's file is saved and displayed, or `null`. The link's query, and thus
 * the name, may come from an attacker: a picture must not be saved as a program. A name keeps its
 * own extension if that has the same media type as the link's or an inert one; otherwise the link's
 * extension is appended.
 */
export function savedName(link: Link, name: string | null): string | null {
  const clean = cleanFileName(name);
  if (clean === null || link.extension === null) return clean;
  // Windows strips trailing dots and spaces.
  const [, own] = /[^.]\.+([^.]*?)[. ]*$/.exec(clean) ?? [];
  if (own === undefined || own.toLowerCase() === link.extension) return clean;
  const ownType = mediaTypeOf(cleanExtension(own));
  const isSameType = ownType === link.mediaType && ownType !== OCTET_STREAM;
  if (isSameType || (isInert(ownType) && !/[. ]$/.test(clean))) return clean;
  return cleanFileName(`${clean}.${link.extension}`);
}

/**
 * Whether browsers display a media type without running any of it. SVG is a document with scripts,
 * not an image.
 */
export function isInert(mediaType: string): boolean {
  return /^(?:image\/(?!svg)|audio\/|video\/|text\/plain(?:;|$))/.test(mediaType);
}

/** Whether browsers have a viewer of their own for a media type that is not inert. */
export function isPdf(mediaType: string): boolean {
  return mediaType === "application/pdf";
}
