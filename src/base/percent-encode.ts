/**
 * Percent-encodes all but the unreserved characters of RFC 3986, section 2.3. `encodeURIComponent`
 * leaves `!'()*` as they are, which S3 signatures and RFC 8187 do not allow and which end a URL in
 * prose and Markdown.
 */
export function percentEncode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
