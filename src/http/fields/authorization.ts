/** The token in `Authorization: Bearer …` (RFC 6750, section 2.1). `null` for other schemes and malformed fields. */
export function bearerToken(text: string | undefined): string | null {
  return /^[ \t]*bearer +([A-Za-z0-9\-._~+/]+=*)[ \t]*$/i.exec(text ?? "")?.[1] ?? null;
}
