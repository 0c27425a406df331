import { cleanFileName } from "../core/file-name.ts";
import { cleanExtension, type Link } from "../core/link.ts";
import { mediaTypeOf, OCTET_STREAM } from "../core/media-type.ts";
import { servedType, varyOf } from "./active-content.ts";
import { formatDisposition } from "./fields/content-disposition.ts";
import { formatReprDigest } from "./fields/digest-fields.ts";
import { etagOf } from "./fields/etag.ts";
import type { ResourcePolicy } from "./options.ts";

/** What a link's bytes may do in a browser that opens them: show themselves, and nothing else. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox";

/** A blob never changes, so a copy of it never expires (RFC 8246). */
const CACHE_CONTROL = "public, max-age=31536000, immutable";

/** How a blob is to be served. */
export interface ServingOptions {
  /** The name under which the client wants to save it. */
  readonly filename: string | null;
  /** The client wants to save it rather than to show it. */
  readonly download: boolean;
  /** Files may be scripts and style sheets of pages. */
  readonly scripts: boolean;
  readonly resourcePolicy: ResourcePolicy;
}

/**
 * The fields of 200, 206 and 304 alike: which bytes these are, for how long, and what a browser may do with them. A 304
 * updates the copy that a cache has, and old copies lack what newer versions send.
 */
export function commonFields(link: Link, resourcePolicy: ResourcePolicy): Record<string, string> {
  return {
    ETag: etagOf(link.digest),
    "Cache-Control": CACHE_CONTROL,
    ...varyOf(link),
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": resourcePolicy,
  };
}

/**
 * The fields of a 200 or 206 except length and range. An uploaded file can never act as a page of the site: types are not
 * guessed, scripts and forms are off, and what is not image, audio, video or plain text is saved rather than shown.
 *
 * `Want-Repr-Digest` is a hint and ignored: a shared cache would hand on an answer without `Repr-Digest` to everybody.
 */
export function blobFields(
  link: Link,
  { filename, download, scripts, resourcePolicy }: ServingOptions,
): Record<string, string> {
  // code is saved, also where it is plain text
  const inline = isInert(link.mediaType) && !download;
  return {
    ...commonFields(link, resourcePolicy),
    "Content-Type": servedType(link, scripts),
    "Accept-Ranges": "bytes",
    "Repr-Digest": formatReprDigest(link.digest),
    ...((!inline || filename !== null) && {
      "Content-Disposition": formatDisposition(inline ? "inline" : "attachment", filename),
    }),
  };
}

/**
 * The name under which a link's file is saved and shown, or `null`. It comes from the link's query, so from whoever made that:
 * a picture must not be saved as a program because of it. A name with another extension than the link's keeps that unless
 * both mean the same type or its type is inert; otherwise the link's is added.
 */
export function savedName(link: Link, name: string | null): string | null {
  const clean = cleanFileName(name);
  if (clean === null || link.extension === null) return clean;
  // Windows drops dots and blanks at the end
  const [, own] = /[^.]\.+([^.]*?)[. ]*$/.exec(clean) ?? [];
  if (own === undefined || own.toLowerCase() === link.extension) return clean;
  const ownType = mediaTypeOf(cleanExtension(own));
  const isSameType = ownType === link.mediaType && ownType !== OCTET_STREAM;
  if (isSameType || (isInert(ownType) && !/[. ]$/.test(clean))) return clean;
  return cleanFileName(`${clean}.${link.extension}`);
}

/** Types that a browser shows without running anything of them. SVG is a document with scripts, not an image. */
export function isInert(mediaType: string): boolean {
  return /^(?:image\/(?!svg)|audio\/|video\/|text\/plain(?:;|$))/.test(mediaType);
}
