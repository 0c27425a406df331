/**
 * Whether `If-Range` holds, so that `Range` counts (RFC 9110, section 13.1.5): only for the blob's own tag, by strong
 * comparison. A date never holds, as no `Last-Modified` is ever sent; nor does a weak tag or a malformed text. Then the
 * whole blob is sent, which is right whatever the client has.
 */
export function ifRangeHolds(text: string, etag: string): boolean {
  return text.trim() === etag;
}
