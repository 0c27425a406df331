import { isUtf8 } from "node:buffer";
import { TextDecoder } from "node:util";
import { create, decodeExtended } from "content-disposition";
import { FixityError } from "../../core/errors.ts";
import { cleanFileName } from "../../core/file-name.ts";

/** One parameter as browsers write it: a quoted value ends at the next quote. */
const AS_BROWSERS = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^";]*))/y;
/**
 * One parameter whose quoted value has backslash escapes: RFC 2183 and 6266, and curl before 7.81.
 */
const AS_RFC_2183 = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^])*)"|([^";]*))/y;

/** The name of a parameter that is defined for this field, without its value. */
const KNOWN_NAME = /[ \t]*;[ \t]*(name|filename\*?|size|(?:creation|modification|read)-date)[ \t]*=[ \t]*/iy;
/** The value of such a parameter, unless it is a quoted file name. */
const KNOWN_VALUE = /"([^"]*)"|([^";]*)/y;
/**
 * The quote that ends a file name with unescaped quotes: a defined parameter or nothing follows it.
 */
const LAST_QUOTE = /"(?=[ \t]*(?:$|;[ \t]*(?:name|filename\*?|size|(?:creation|modification|read)-date)[ \t]*=))/gi;
/** Text in a file name with unescaped quotes that another parser may read as a second name. */
const SECOND_NAME = /[\s;,"'](?:name|filename\*?)[ \t]*=/i;

/** A field with more parameters is malformed. */
const MAX_PARAMETERS = 16;

/**
 * What browsers escape in a quoted value (WHATWG HTML, "multipart/form-data encoding algorithm").
 */
const BROWSER_ESCAPES: Readonly<Record<string, string>> = { "%22": '"', "%0D": "\r", "%0A": "\n" };

type Parameters = ReadonlyMap<string, string>;

/**
 * The parameters of a `Content-Disposition`, of a request or of a form part, by lower-case name.
 * `null` if the field is malformed or repeats a parameter.
 *
 * Senders escape quotes in one of two ways, and a backslash before a quote means something
 * different in each. The field is parsed as browsers write it and, if that fails, with backslash
 * escapes. Some senders do not escape quotes at all (form-data before 4.0.6, Firefox 3.6, IE 8): if
 * both grammars fail, a file name ends at the last quote that can end it.
 */
export function dispositionParameters(text: string): Parameters | null {
  const asBrowsers = parse(text, AS_BROWSERS, unescapeBrowser);
  if (asBrowsers instanceof Map) return asBrowsers;
  const asRfc2183 = parse(text, AS_RFC_2183, unescapeQuotedPairs);
  if (asRfc2183 instanceof Map) return asRfc2183;
  // Two parsers could pick different values of a repeated parameter.
  if (asBrowsers === "repeated" || asRfc2183 === "repeated") return null;
  return parseUnescaped(text);
}

/**
 * The file name in parameters, as sent: `filename*` if it can be decoded, otherwise `filename`.
 * Empty if there is only a `filename*` that cannot be decoded, `null` if there is neither.
 */
export function fileNameIn(parameters: Parameters): string | null {
  const plain = parameters.get("filename");
  const extended = parameters.get("filename*");
  if (extended === undefined) return plain === undefined ? null : decodeEncodedWords(plain);
  return decodeExtended(extended) ?? decodeEncodedWords(plain ?? "");
}

/**
 * The file name in a request's `Content-Disposition`, parsed by the same rules as that of a form
 * part, or `null` if it has none. The disposition type is ignored and may be missing.
 *
 * @throws FixityError `invalid-field` if the field is malformed or gives two names
 */
export function fileNameOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const field = decodeFieldBytes(text);
  const parameters = dispositionParameters(/^\s*(?:filename\*?|name)\s*=/i.test(field) ? `;${field}` : field);
  if (parameters !== null) return fileNameIn(parameters) || null;
  throw new FixityError(
    "invalid-field",
    'Content-Disposition is malformed or repeats a parameter. Send it as: attachment; filename="photo.png".',
  );
}

/**
 * A response's `Content-Disposition`, safe for any name in any script: a name that is not ASCII
 * goes into `filename*` (RFC 8187), preceded by an ASCII fallback for old clients (RFC 6266,
 * appendix D).
 *
 * @param name `null` for none. It is cleaned here: a name without a visible character counts as
 *   none.
 */
export function formatDisposition(type: "inline" | "attachment", name: string | null): string {
  const clean = cleanFileName(name);
  if (clean === null) return type;
  // Quotes, backslashes and percent signs are ASCII, but clients differ in how they parse them.
  return create(clean, { type, fallback: clean.replace(/[^\x20-\x7e]|["\\%]/gu, "_") });
}

/** The parameters after the first `;`, by one of the two grammars. */
function parse(
  text: string,
  grammar: RegExp,
  unescape: (quoted: string) => string,
): Parameters | "malformed" | "repeated" {
  const parameters = new Map<string, string>();
  const end = endOfParameters(text);
  const trimmed = text.slice(0, end);
  let position = text.indexOf(";");
  while (position !== -1 && position < end) {
    grammar.lastIndex = position;
    const match = grammar.exec(trimmed);
    if (match === null || parameters.size === MAX_PARAMETERS) return "malformed";
    const [, name = "", quoted, bare = ""] = match;
    const key = name.toLowerCase();
    if (parameters.has(key)) return "repeated";
    parameters.set(key, quoted === undefined ? bare.trim() : unescape(quoted));
    position = grammar.lastIndex;
  }
  return parameters;
}

/** Defined parameters only, with a file name whose quotes are not escaped. */
function parseUnescaped(text: string): Parameters | null {
  const parameters = new Map<string, string>();
  const end = endOfParameters(text);
  const trimmed = text.slice(0, end);
  let position = text.indexOf(";");
  while (position !== -1 && position < end) {
    KNOWN_NAME.lastIndex = position;
    const key = KNOWN_NAME.exec(trimmed)?.[1]?.toLowerCase();
    if (key === undefined || parameters.has(key)) return null;
    const start = KNOWN_NAME.lastIndex;
    if (key === "filename" && trimmed[start] === '"') {
      LAST_QUOTE.lastIndex = start + 1;
      const last = LAST_QUOTE.exec(trimmed);
      if (last === null) return null;
      const value = trimmed.slice(start + 1, last.index);
      if (SECOND_NAME.test(value)) return null;
      parameters.set(key, value);
      position = last.index + 1;
    } else {
      KNOWN_VALUE.lastIndex = start;
      const [, quoted, bare = ""] = KNOWN_VALUE.exec(trimmed) ?? [];
      parameters.set(key, quoted ?? bare.trim());
      position = KNOWN_VALUE.lastIndex;
    }
  }
  return parameters;
}

/**
 * Where the last parameter ends: before trailing white space, and before a trailing `;` that some
 * senders write. Computed once, because looking for it after each parameter would take quadratic
 * time.
 */
function endOfParameters(text: string): number {
  const trimmed = text.trimEnd();
  return trimmed.endsWith(";") ? trimmed.slice(0, -1).trimEnd().length : trimmed.length;
}

function unescapeBrowser(quoted: string): string {
  return quoted.replace(/%(?:22|0D|0A)/g, (escape) => BROWSER_ESCAPES[escape] ?? escape);
}

function unescapeQuotedPairs(quoted: string): string {
  return quoted.replace(/\\([^])/g, "$1");
}

/**
 * A field's text has one character for each byte. Clients that do not know RFC 8187 send raw UTF-8.
 */
function decodeFieldBytes(text: string): string {
  if (/[^\x00-\xff]/.test(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : text;
}

/**
 * One encoded word: charset, optionally with a language (RFC 2231, section 5), encoding and text.
 */
const ENCODED_WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=/gi;
/**
 * Only encoded words. White space between two of them is not part of the text (RFC 2047, section
 * 6.2).
 */
const ONLY_ENCODED_WORDS = /^[ \t]*(?:=\?[^?\s]+\?[bq]\?[^?]*\?=[ \t]*)+$/i;

/**
 * Decodes text that consists of encoded words (RFC 2047), as mail libraries write names that are
 * not ASCII: HTTP does not know them, but clients send them. Returns any other text, and what
 * cannot be decoded, unchanged.
 */
export function decodeEncodedWords(text: string): string {
  if (!ONLY_ENCODED_WORDS.test(text)) return text;
  // Some encoders split within a character, so adjacent words in one charset are decoded together.
  const runs: { charset: string; bytes: Buffer[] }[] = [];
  for (const [, charset = "", encoding = "", encoded = ""] of text.matchAll(ENCODED_WORD)) {
    const bytes = encoding.toLowerCase() === "b" ? Buffer.from(encoded, "base64") : decodeQ(encoded);
    const last = runs.at(-1);
    if (last?.charset === charset.toLowerCase()) last.bytes.push(bytes);
    else runs.push({ charset: charset.toLowerCase(), bytes: [bytes] });
  }
  try {
    return runs.map(({ charset, bytes }) => decodeCharset(charset, Buffer.concat(bytes))).join("");
  } catch {
    return text;
  }
}

/**
 * The Q encoding: an underscore is a space, and `=` precedes the hex digits of a byte (RFC 2047,
 * section 4.2).
 */
function decodeQ(encoded: string): Buffer {
  const bytes = encoded
    .replaceAll("_", " ")
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

function decodeCharset(charset: string, bytes: Buffer): string {
  return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes);
}
