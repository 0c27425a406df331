import { MAX_MEDIA_FIELD_LENGTH, parseParameters } from "./parameters.ts";

/** A media type as a `Content-Type` field gives it. */
export interface ContentType {
  /** Type and subtype, lower-cased: `text/html`. */
  readonly essence: string;
  /** By lower-case name; the values as they are, out of their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

const ESSENCE = /^[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)/;

/** Reads a `Content-Type` (RFC 9110, section 8.3.1); `null` where it is absent, malformed or too long. */
export function parseContentType(text: string | undefined): ContentType | null {
  if (isTooLongContentType(text)) return null;
  const match = ESSENCE.exec(text ?? "");
  if (text === undefined || match?.[1] === undefined) return null;
  const parameters = parseParameters(text, match[0].length);
  return parameters === null ? null : { essence: match[1].toLowerCase(), parameters };
}

/**
 * The media type in a `Content-Type`, lower-cased and without parameters, for naming a file by it: it is read whatever
 * follows it. `null` where the field is absent, too long, or does not begin with a media type.
 */
export function mediaTypeIn(text: string | undefined): string | null {
  if (text === undefined || isTooLongContentType(text)) return null;
  return ESSENCE.exec(text)?.[1]?.toLowerCase() ?? null;
}

/** Whether a `Content-Type` is longer than any that is read. */
export function isTooLongContentType(text: string | undefined): boolean {
  return text !== undefined && text.length > MAX_MEDIA_FIELD_LENGTH;
}

/** Whether content is a form, also where the rest of the field is malformed: a form must not be stored as if it were the file. */
export function isForm(contentType: string | undefined): boolean {
  return /^\s*multipart\/form-data\b/i.test(contentType ?? "");
}
