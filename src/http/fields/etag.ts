import type { Digest } from "../../core/digest.ts";

/** One entity tag (RFC 9110, section 8.8.3). */
export interface EntityTag {
  readonly weak: boolean;
  /** With its quotes. */
  readonly tag: string;
}

/** What `If-Match` or `If-None-Match` name; `"*"` for anything at all. */
export type EntityTags = "*" | readonly EntityTag[];

/** An element of the list, perhaps empty, with the comma behind it. */
const ENTITY_TAG = /(?:(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,[ \t]*|$)/y;

/** A blob's entity tag: its digest in hex, quoted. It is strong, as the bytes behind it can never be others. */
export function etagOf(digest: Digest): string {
  return `"${digest.hex}"`;
}

/** Reads the list of an `If-Match` or `If-None-Match` field; `null` where it is malformed. */
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

/** Whether `If-Match` holds for a representation that is there (strong comparison). A malformed field does not. */
export function matchesStrongly(tags: EntityTags | null, etag: string): boolean {
  if (tags === "*") return true;
  return tags?.some(({ weak, tag }) => !weak && tag === etag) ?? false;
}

/** Whether `If-None-Match` names a representation that is there (weak comparison). A malformed field does not. */
export function matchesWeakly(tags: EntityTags | null, etag: string): boolean {
  if (tags === "*") return true;
  return tags?.some(({ tag }) => tag === etag) ?? false;
}
