import type { Digest } from "../../core/digest.ts";

/** One entity tag (RFC 9110, section 8.8.3). */
export interface EntityTag {
  readonly weak: boolean;
  /** With its quotes. */
  readonly tag: string;
}

/** The value of `If-Match` or `If-None-Match`; `"*"` matches any representation. */
export type EntityTags = "*" | readonly EntityTag[];

/** One element of the list, possibly empty, and the comma after it. */
const ENTITY_TAG = /(?:(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,[ \t]*|$)/y;

/**
 * A blob's entity tag: its digest in hex, quoted. It is strong, because the bytes of a digest never
 * change.
 */
export function etagOf(digest: Digest): string {
  return `"${digest.hex}"`;
}

/** Parses the list of an `If-Match` or `If-None-Match` field. `null` if it is malformed. */
export function parseEntityTags(field: string): EntityTags | null {
  const text = field.trim();
  if (text === "*") return "*";
  const tags: EntityTag[] = [];
  let position = 0;
  while (position < text.length) {
    ENTITY_TAG.lastIndex = position;
    const match = ENTITY_TAG.exec(text);
    if (match === null) return null;
    if (match[2] !== undefined) tags.push({ weak: match[1] !== undefined, tag: match[2] });
    position = ENTITY_TAG.lastIndex;
  }
  return tags.length === 0 ? null : tags;
}

/**
 * Whether `If-Match` holds for an existing representation (strong comparison). A malformed field
 * does not hold.
 */
export function matchesStrongly(tags: EntityTags | null, etag: string): boolean {
  if (tags === "*") return true;
  return tags?.some(({ weak, tag }) => !weak && tag === etag) ?? false;
}

/**
 * Whether `If-None-Match` names an existing representation (weak comparison). A malformed field
 * names none.
 */
export function matchesWeakly(tags: EntityTags | null, etag: string): boolean {
  if (tags === "*") return true;
  return tags?.some(({ tag }) => tag === etag) ?? false;
}

/**
 * Whether `If-Range` holds, so that `Range` applies (RFC 9110, section 13.1.5): only for the blob's
 * own tag, by strong comparison. Dates never hold, because fixity sends no `Last-Modified`; nor do
 * weak tags and malformed fields. The whole blob is sent then, which is correct whatever the client
 * has.
 */
export function ifRangeHolds(text: string, etag: string): boolean {
  return text.trim() === etag;
}
