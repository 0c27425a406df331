import { TextDecoder } from "node:util";

/** One encoded word: charset, perhaps with a language (RFC 2231, section 5), encoding and text. */
const WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=/gi;
/** Nothing but encoded words; white space between two of them does not count (RFC 2047, section 6.2). */
const ONLY_WORDS = /^[ \t]*(?:=\?[^?\s]+\?[bq]\?[^?]*\?=[ \t]*)+$/i;

/**
 * Decodes a text that consists of encoded words (RFC 2047), as mail libraries write names that are not ASCII: they have no
 * place in HTTP, but are sent. Anything else, and what cannot be decoded, is returned as it is.
 */
export function decodeEncodedWords(text: string): string {
  if (!ONLY_WORDS.test(text)) return text;
  // some encoders cut within a character, so neighbours in one charset are decoded together
  const runs: { charset: string; bytes: Buffer[] }[] = [];
  for (const [, charset = "", encoding = "", encoded = ""] of text.matchAll(WORD)) {
    const bytes = encoding.toLowerCase() === "b" ? Buffer.from(encoded, "base64") : fromQ(encoded);
    const last = runs.at(-1);
    if (last?.charset === charset.toLowerCase()) last.bytes.push(bytes);
    else runs.push({ charset: charset.toLowerCase(), bytes: [bytes] });
  }
  try {
    return runs.map(({ charset, bytes }) => decode(charset, Buffer.concat(bytes))).join("");
  } catch {
    return text;
  }
}

/** The Q encoding: an underscore is a space, and `=` begins the hex digits of a byte (RFC 2047, section 4.2). */
function fromQ(encoded: string): Buffer {
  const bytes = encoded
    .replaceAll("_", " ")
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

function decode(charset: string, bytes: Buffer): string {
  return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes);
}
