/** One parameter: a token, `=`, and a quoted string or whatever stands before the next `;` or white space. */
const PARAMETER = /[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\[^])*)"|([^\s;"]+)))?/y;

/**
 * Reads `*( OWS ";" OWS [ parameter ] )` (RFC 9110, section 5.6.6) from `start` to the end of the text. Names are
 * lower-cased. Values that are no token are taken without quotes as well: many boundaries are sent like that. `null` where
 * the text is malformed, or gives one parameter two values, which two readers could understand in two ways.
 */
export function parseParameters(text: string, start: number): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>();
  let position = start;
  while (text.slice(position).trim() !== "") {
    PARAMETER.lastIndex = position;
    const match = PARAMETER.exec(text);
    if (match === null) return null;
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
