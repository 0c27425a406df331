import { FixityError } from "../core/errors.ts";
import type { BlobStat } from "../core/blob-stat.ts";
import type { Exchange, Fields } from "./exchange.ts";
import { type EntityTags, etagOf, matchesStrongly, matchesWeakly, parseEntityTags } from "./fields/etag.ts";

const CONDITIONS = ["if-match", "if-unmodified-since", "if-none-match"] as const;

/** Whether a request that changes something is conditional. */
export function isConditional({ fields }: Exchange): boolean {
  return CONDITIONS.some((name) => fields.get(name) !== undefined);
}

/**
 * Evaluates the conditions of a request that changes a link, in the order of RFC 9110, section
 * 13.2.2, before it has any effect.
 *
 * A malformed entity tag is refused, because ignoring it would do what the client wanted to
 * prevent. A malformed date is ignored, as section 13.1.4 requires.
 *
 * @param stat the blob stored under the link, or `null`
 * @throws FixityError `precondition-failed`, `invalid-field`
 */
export function checkPreconditions({ fields }: Exchange, stat: BlobStat | null): void {
  const etag = stat === null ? null : etagOf(stat.digest);
  const ifMatch = tagsIn(fields, "if-match");
  if (ifMatch !== null) {
    if (etag === null || !matchesStrongly(ifMatch, etag)) throw failed("If-Match", stat);
  } else if (stat !== null && stat.modified.getTime() >= timeAfter(fields.get("if-unmodified-since"))) {
    throw failed("If-Unmodified-Since", stat);
  }
  const ifNoneMatch = tagsIn(fields, "if-none-match");
  if (ifNoneMatch !== null && etag !== null && matchesWeakly(ifNoneMatch, etag)) throw failed("If-None-Match", stat);
}

/**
 * Evaluates the conditions of a request that changes an upload in progress. An upload has no entity
 * tag and no modification date: only `*` matches it.
 *
 * @throws FixityError as {@link checkPreconditions} does
 */
export function checkUploadPreconditions({ fields }: Exchange): void {
  const ifMatch = tagsIn(fields, "if-match");
  const ifNoneMatch = tagsIn(fields, "if-none-match");
  if (ifMatch !== null && ifMatch !== "*") throw new FixityError("precondition-failed", "An upload has no entity tag.");
  if (ifNoneMatch === "*")
    throw new FixityError("precondition-failed", "If-None-Match: * excludes an upload that exists.");
}

function tagsIn(fields: Fields, name: "if-match" | "if-none-match"): EntityTags | null {
  const text = fields.get(name);
  if (text === undefined) return null;
  const tags = parseEntityTags(text);
  if (tags === null) throw new FixityError("invalid-field", `${name} must be a list of quoted entity tags, or *.`);
  return tags;
}

/**
 * The first millisecond after the second of an HTTP date; `Infinity` if the date is absent or
 * malformed.
 */
function timeAfter(text: string | undefined): number {
  const time = text === undefined || !text.trim().endsWith(" GMT") ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? Infinity : time + 1000;
}

function failed(name: string, stat: BlobStat | null): FixityError {
  return new FixityError(
    "precondition-failed",
    stat === null ? `${name} requires a stored file, but there is none.` : `${name} does not hold for the stored file.`,
  );
}
