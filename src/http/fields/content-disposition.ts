import { isUtf8 } from "node:buffer";
import { create, decodeExtended } from "content-disposition";
import { FixityError } from "../../core/errors.ts";
import { cleanFileName } from "../../core/file-name.ts";
import { decodeEncodedWords } from "./encoded-words.ts";

/** One parameter, its quoted value ending at the next quote: how browsers write it. */
const AS_BROWSERS = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^";]*))/y;
/** One parameter, its quoted value with backslash escapes: RFC 2183 and 6266, and curl before 7.81. */
const AS_RFC_2183 = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^])*)"|([^";]*))/y;

/** One parameter of those that this field is known to have, without its value. */
const KNOWN = /[ \t]*;[ \t]*(name|filename\*?|size|(?:creation|modification|read)-date)[ \t]*=[ \t]*/iy;
/** The value of one, unless it is a file name in quotes. */
const VALUE = /"([^"]*)"|([^";]*)/y;
/** A quote that ends a file name which has quotes in it: a known parameter or nothing follows. */
const LAST_QUOTE = /"(?=[ \t]*(?:$|;[ \t]*(?:name|filename\*?|size|(?:creation|modification|read)-date)[ \t]*=))/gi;
/** In a file name with quotes: text that another reader may take for a parameter. */
const SECOND_NAME = /[\s;,"'](?:name|filename\*?)[ \t]*=/i;

/** More parameters than this in one field are malformed. */
const MAX_PARAMETERS = 16;

/** What browsers escape in a quoted value (WHATWG HTML, "multipart/form-data encoding algorithm"). */
const BROWSER_ESCAPES: Readonly<Record<string, string>> = { "%22": '"', "%0D": "\r", "%0A": "\n" };

type Parameters = ReadonlyMap<string, string>;

/**
 * The parameters of a `Content-Disposition`, of a request or of a form part, by lower-case name; `null` where it is malformed
 * or has one of them twice.
 *
 * Senders escape quotes in one of two ways, and a backslash before a quote means another thing in each. So the field is read
 * as browsers write it, then with backslash escapes where it makes no sense that way. Others do not escape quotes at all
 * (form-data before 4.0.6, Firefox 3.6, IE 8): where both grammars fail, a file name ends at the last quote that can end it.
 */
export function dispositionParameters(text: string): Parameters | null {
  const asBrowsers = parse(text, AS_BROWSERS, fromBrowser);
  if (asBrowsers instanceof Map) return asBrowsers;
  const asRfc2183 = parse(text, AS_RFC_2183, fromQuotedPairs);
  if (asRfc2183 instanceof Map) return asRfc2183;
  // two readers of a repeated parameter could understand two things
  if (asBrowsers === "repeated" || asRfc2183 === "repeated") return null;
  return parseUnescaped(text);
}

/**
 * The file name in parameters as it was sent: `filename*` where it can be decoded, else `filename`. Empty where only a
 * `filename*` is there that cannot be decoded, `null` without both.
 */
export function fileNameIn(parameters: Parameters): string | null {
  const plain = parameters.get("filename");
  const extended = parameters.get("filename*");
  if (extended === undefined) return plain === undefined ? null : decodeEncodedWords(plain);
  return decodeExtended(extended) ?? decodeEncodedWords(plain ?? "");
}

/**
 * The file name in a request's `Content-Disposition`, read by the same rules as that of a form part, or `null` where it has
 * none. The disposition type does not matter and may be missing.
 *
 * @throws FixityError `invalid-field` where the field is malformed or gives two names
 */
export function fileNameOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const field = fromBytes(text);
  const parameters = dispositionParameters(/^\s*(?:filename\*?|name)\s*=/i.test(field) ? `;${field}` : field);
  if (parameters !== null) return fileNameIn(parameters) || null;
  throw new FixityError(
    "invalid-field",
    'Content-Disposition is malformed, or gives a parameter twice. Send it as: attachment; filename="photo.png".',
  );
}

/**
 * The `Content-Disposition` of an answer, safe for any name in any script: what is not ASCII goes into `filename*`
 * (RFC 8187), with an ASCII stand-in before it for old clients (RFC 6266, appendix D).
 *
 * @param name `null` for none; cleaned here, so that a name without one visible character is as good as none
 */
export function formatDisposition(type: "inline" | "attachment", name: string | null): string {
  const clean = cleanFileName(name);
  if (clean === null) return type;
  // quotes, backslashes and percent signs are ASCII, but clients differ in how they read them
  return create(clean, { type, fallback: clean.replace(/[^\x20-\x7e]|["\\%]/gu, "_") });
}

/** The parameters behind the first `;`, by one of the grammars. */
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

/** Known parameters only, with a file name whose quotes are not escaped. */
function parseUnescaped(text: string): Parameters | null {
  const parameters = new Map<string, string>();
  const end = endOfParameters(text);
  const trimmed = text.slice(0, end);
  let position = text.indexOf(";");
  while (position !== -1 && position < end) {
    KNOWN.lastIndex = position;
    const key = KNOWN.exec(trimmed)?.[1]?.toLowerCase();
    if (key === undefined || parameters.has(key)) return null;
    const start = KNOWN.lastIndex;
    if (key === "filename" && trimmed[start] === '"') {
      LAST_QUOTE.lastIndex = start + 1;
      const last = LAST_QUOTE.exec(trimmed);
      if (last === null) return null;
      const value = trimmed.slice(start + 1, last.index);
      if (SECOND_NAME.test(value)) return null;
      parameters.set(key, value);
      position = last.index + 1;
    } else {
      VALUE.lastIndex = start;
      const [, quoted, bare = ""] = VALUE.exec(trimmed) ?? [];
      parameters.set(key, quoted ?? bare.trim());
      position = VALUE.lastIndex;
    }
  }
  return parameters;
}

/**
 * Where the last parameter ends: before white space at the end, and before a `;` with nothing behind it, as some senders
 * write. Found once, since to look for it after each parameter would take quadratic time.
 */
function endOfParameters(text: string): number {
  const trimmed = text.trimEnd();
  return trimmed.endsWith(";") ? trimmed.slice(0, -1).trimEnd().length : trimmed.length;
}

function fromBrowser(quoted: string): string {
  return quoted.replace(/%(?:22|0D|0A)/g, (escape) => BROWSER_ESCAPES[escape] ?? escape);
}

function fromQuotedPairs(quoted: string): string {
  return quoted.replace(/\\([^])/g, "$1");
}

/** A field's text has one character a byte; clients that do not know RFC 8187 send UTF-8 as it is. */
function fromBytes(text: string): string {
  if (/[^\x00-\xff]/.test(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : text;
}
