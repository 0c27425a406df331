/** A media type as a `Content-Type` field states it. */
export interface ContentType {
  /** Type and subtype in lower case: `text/html`. */
  readonly essence: string;
  /** Values by lower-case name, without their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * The longest `Accept`, `Accept-Encoding` and `Content-Type` that is parsed, in characters.
 * Browsers send fewer than 200. Longer fields count as malformed, so no request can make parsing
 * expensive.
 */
export const MAX_MEDIA_FIELD_LENGTH = 1024;

/** A field with more parameters is malformed: no field in use has half as many. */
const MAX_PARAMETERS = 16;

const ESSENCE = /^[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)/;

/**
 * One parameter: a token, `=`, and a quoted string or everything up to the next `;` or white space.
 */
const PARAMETER = /[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\[^])*)"|([^\s;"]+)))?/y;

/**
 * Parses a `Content-Type` (RFC 9110, section 8.3.1). `null` if it is absent, malformed or too long.
 */
export function parseContentType(text: string | undefined): ContentType | null {
  if (isTooLongContentType(text)) return null;
  const match = ESSENCE.exec(text ?? "");
  if (text === undefined || match?.[1] === undefined) return null;
  const parameters = parseParameters(text, match[0].length);
  return parameters === null ? null : { essence: match[1].toLowerCase(), parameters };
}

/**
 * The media type in a `Content-Type`, in lower case and without parameters, for naming a file after
 * it: malformed parameters are ignored. `null` if the field is absent, too long, or does not begin
 * with a media type.
 */
export function mediaTypeIn(text: string | undefined): string | null {
  if (text === undefined || isTooLongContentType(text)) return null;
  return ESSENCE.exec(text)?.[1]?.toLowerCase() ?? null;
}

/** Whether a `Content-Type` is too long to be parsed. */
export function isTooLongContentType(text: string | undefined): boolean {
  return text !== undefined && text.length > MAX_MEDIA_FIELD_LENGTH;
}

/** Whether content is a form without files, as browsers send it without `enctype`. */
export function isUrlEncoded(contentType: string | undefined): boolean {
  return /^\s*application\/x-www-form-urlencoded\s*(?:[;,]|$)/i.test(contentType ?? "");
}

/** Whether content has one of the three types in which browsers send forms (HTML, "enctype"). */
export function isAnyForm(contentType: string | undefined): boolean {
  return isForm(contentType) || isUrlEncoded(contentType) || /^\s*text\/plain\b/i.test(contentType ?? "");
}

/**
 * Whether content is a form, even if the rest of the field is malformed: a form must not be stored
 * as if it were the file.
 */
export function isForm(contentType: string | undefined): boolean {
  return /^\s*multipart\/form-data\b/i.test(contentType ?? "");
}

/**
 * Parses `*( OWS ";" OWS [ parameter ] )` (RFC 9110, section 5.6.6) from `start` to the end of the
 * text, in linear time. Names become lower case. Unquoted values need not be tokens: many
 * boundaries are sent like that. `null` if the text is malformed, has too many parameters, or gives
 * one parameter two values, which two readers could understand differently.
 */
export function parseParameters(text: string, start: number): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>();
  // Trailing white space is removed once: looking for it after each parameter would take quadratic
  // time.
  const end = Math.max(text.trimEnd().length, start);
  const trimmed = text.slice(0, end);
  let position = start;
  for (let count = 0; position < end; count += 1) {
    PARAMETER.lastIndex = position;
    const match = PARAMETER.exec(trimmed);
    if (match === null || count === MAX_PARAMETERS) return null;
    position = PARAMETER.lastIndex;
    const [, name, quoted, bare] = match;
    if (name === undefined) continue;
    const key = name.toLowerCase();
    const value = quoted?.replace(/\\([^])/g, "$1") ?? bare ?? "";
    if (parameters.has(key) && parameters.get(key) !== value) return null;
    parameters.set(key, value);
  }
  return parameters;
}
