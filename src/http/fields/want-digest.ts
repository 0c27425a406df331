import { type Dictionary, parseDictionary } from "structured-headers";

/**
 * Whether an answer should carry a SHA-256, by a request's `Want-Repr-Digest` (RFC 9530, section 4): it should unless
 * `sha-256=0` says that it is not acceptable. The field is a hint, so a malformed one says nothing.
 */
export function wantsSha256(text: string | undefined): boolean {
  if (text === undefined) return true;
  let preferences: Dictionary;
  try {
    preferences = parseDictionary(text);
  } catch {
    return true;
  }
  return preferences.get("sha-256")?.[0] !== 0;
}
