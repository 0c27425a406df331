/** More parameters than this are malformed: no field in use has half as many. */
const MAX_PARAMETERS = 16;

/**
 * Longest `Accept`, `Accept-Encoding` and `Content-Type` that is read, in characters. Browsers send less than 200. Longer
 * ones count as malformed, so that no request can make parsing expensive.
 */
export const MAX_MEDIA_FIELD_LENGTH = 1024;

/** One parameter: a token, `=`, and a quoted string or whatever stands before the next `;` or white space. */
const PARAMETER = /[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\[^])*)"|([^\s;"]+)))?/y;

/**
 * Reads `*( OWS ";" OWS [ parameter ] )` (RFC 9110, section 5.6.6) from `start` to the end of the text, in linear time.
 * Names are lower-cased. Values that are no token are read without quotes as well: many boundaries are sent like that.
 * `null` where the text is malformed, has too many parameters, or gives one parameter two values, which two readers could
 * understand in two ways.
 */
export function parseParameters(text: string, start: number): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>();
  // White space at the end is cut off once: to look for it after each parameter would take quadratic time.
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
