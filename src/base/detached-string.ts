/**
 * A copy of a Latin-1 text that does not keep the text alive of which it is a part: engines store a
 * substring as a reference into the whole. For parts of requests that are kept for long.
 */
export function detachedString(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
