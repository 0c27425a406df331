import type { Link } from "../core/link.ts";
import { formatDisposition } from "./fields/content-disposition.ts";
import { formatReprDigest } from "./fields/digest-fields.ts";
import { etagOf } from "./fields/etag.ts";
import { wantsSha256 } from "./fields/want-digest.ts";
import type { ResourcePolicy } from "./options.ts";

/** What a link's bytes may do in a browser that opens them: show themselves, and nothing else. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox";

/** A blob never changes, so a copy is good for ever (RFC 8246). */
const CACHE_CONTROL = "public, max-age=31536000, immutable";

/** How the client wants the blob to be served, and to whom the service shows it. */
export interface ServingWishes {
  /** The name under which it is to be saved. */
  readonly filename: string | null;
  /** It is to be saved rather than shown. */
  readonly download: boolean;
  /** The request's `Want-Repr-Digest`. */
  readonly wantReprDigest: string | undefined;
  readonly resourcePolicy: ResourcePolicy;
}

/** The fields that say which bytes these are and how long they are good: on 200, 206 and 304 alike. */
export function validatorFields(link: Link): Record<string, string> {
  return { ETag: etagOf(link.digest), "Cache-Control": CACHE_CONTROL };
}

/**
 * The fields of a 200 or 206 besides length and range. An uploaded file can never act as a page of the site: types are not
 * guessed, scripts and forms are off, and what is not image, audio, video or plain text is saved rather than shown.
 */
export function blobFields(link: Link, wishes: ServingWishes): Record<string, string> {
  const { mediaType } = link;
  const inline = isInert(mediaType) && !wishes.download;
  return {
    ...validatorFields(link),
    "Content-Type": mediaType,
    "Accept-Ranges": "bytes",
    ...((!inline || wishes.filename !== null) && {
      "Content-Disposition": formatDisposition(inline ? "inline" : "attachment", wishes.filename),
    }),
    ...(wantsSha256(wishes.wantReprDigest) && { "Repr-Digest": formatReprDigest(link.digest) }),
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": wishes.resourcePolicy,
  };
}

/** Types that a browser shows without running anything of them. SVG is a document with scripts, not an image. */
export function isInert(mediaType: string): boolean {
  return /^(?:image\/(?!svg)|audio\/|video\/|text\/plain(?:;|$))/.test(mediaType);
}
