import { MAX_MEDIA_FIELD_LENGTH, parseParameters } from "./parameters.ts";

/**
 * The first of the codings that an `Accept-Encoding` field accepts, or `null` where only the identity coding is known to be
 * acceptable (RFC 9110, section 12.5.3): without the field, and where it is too long. Malformed elements are ignored.
 *
 * @param codings in the server's order of preference, in lower case
 */
export function chooseCoding<Coding extends string>(
  codings: readonly Coding[],
  field: string | undefined,
): Coding | null {
  if (field === undefined || field.length > MAX_MEDIA_FIELD_LENGTH) return null;
  const weights = new Map<string, number>();
  for (const element of field.split(",")) {
    const name = /^[ \t]*([^\s;]+)/.exec(element);
    const parameters = name === null ? null : parseParameters(element, name[0].length);
    const weight = Number(parameters?.get("q") ?? 1);
    if (name?.[1] !== undefined && parameters !== null && weight >= 0 && weight <= 1) {
      weights.set(name[1].toLowerCase(), weight);
    }
  }
  return codings.find((coding) => (weights.get(coding) ?? weights.get("*") ?? 0) > 0) ?? null;
}
