/** Longer values are not parsed: no token or permit is as long. */
const MAX_LENGTH = 8192;

/**
 * The token in `Authorization: Bearer …` (RFC 6750, section 2.1). `null` for other schemes and
 * malformed fields.
 */
export function bearerToken(text: string | undefined): string | null {
  if (text === undefined || text.length > MAX_LENGTH) return null;
  return /^[ \t]*bearer +([A-Za-z0-9\-._~+/]+=*)[ \t]*$/i.exec(text)?.[1] ?? null;
}

/**
 * The password in `Authorization: Basic …` (RFC 7617), where programs send a token that support
 * nothing else (`curl -u :TOKEN`). The user's name before it is ignored. `null` for other schemes
 * and malformed fields.
 */
export function basicPassword(text: string | undefined): string | null {
  if (text === undefined || text.length > MAX_LENGTH) return null;
  const encoded = /^[ \t]*basic +([A-Za-z0-9+/]+={0,2})[ \t]*$/i.exec(text)?.[1];
  if (encoded === undefined) return null;
  const pair = Buffer.from(encoded, "base64").toString();
  const colon = pair.indexOf(":");
  return colon === -1 ? null : pair.slice(colon + 1);
}
