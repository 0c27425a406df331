import { decodeExtended } from "content-disposition";
import { malformedForm } from "./form-errors.ts";

/** What a part's `Content-Disposition` says. */
export interface FormDisposition {
  /** The form field. */
  readonly name: string;
  /** As it was sent, not cleaned; empty for a file input that was left empty; `null` where the part is no file. */
  readonly fileName: string | null;
}

/** One parameter, its quoted value ending at the next quote: how browsers write it. */
const AS_BROWSERS = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^";]*))/y;
/** One parameter, its quoted value with backslash escapes: RFC 2183, and curl before 7.81. */
const AS_RFC_2183 = /[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^])*)"|([^";]*))/y;

/** More parameters than this in one field are malformed. */
const MAX_PARAMETERS = 16;

/** What browsers escape in a quoted value (WHATWG HTML, "multipart/form-data encoding algorithm"). */
const BROWSER_ESCAPES: Readonly<Record<string, string>> = { "%22": '"', "%0D": "\r", "%0A": "\n" };

/**
 * Reads the `Content-Disposition` of a form part (RFC 7578, section 4.2). Senders escape quotes in one of two ways, and a
 * backslash before a quote means another thing in each; so the field is read as browsers write it, and with backslash
 * escapes where it makes no sense that way. A `filename*` has no place in a form by section 4.2, but is sent: it wins
 * where it can be decoded.
 *
 * @throws FixityError `malformed-form`
 */
export function parseFormDisposition(text: string): FormDisposition {
  const end = text.indexOf(";");
  if (
    text
      .slice(0, end === -1 ? undefined : end)
      .trim()
      .toLowerCase() !== "form-data"
  ) {
    throw malformedForm("A part's Content-Disposition is not form-data.");
  }
  const parameters =
    parseParameters(text, AS_BROWSERS, fromBrowser) ?? parseParameters(text, AS_RFC_2183, fromQuotedPairs);
  if (parameters === null) throw malformedForm("A part's Content-Disposition cannot be parsed.");
  const name = parameters.get("name");
  if (name === undefined) throw malformedForm("A part has no field name.");
  return { name, fileName: fileNameIn(parameters) };
}

function fileNameIn(parameters: ReadonlyMap<string, string>): string | null {
  const plain = parameters.get("filename");
  const extended = parameters.get("filename*");
  if (extended === undefined) return plain ?? null;
  // one that cannot be decoded still says that the part is a file
  return decodeExtended(extended) ?? plain ?? "";
}

/** The parameters behind the first `;`, or `null` where the text is not of that grammar or repeats one. */
function parseParameters(
  text: string,
  grammar: RegExp,
  unescape: (quoted: string) => string,
): Map<string, string> | null {
  const parameters = new Map<string, string>();
  const end = endOfParameters(text);
  const trimmed = text.slice(0, end);
  let position = text.indexOf(";");
  while (position !== -1 && position < end) {
    grammar.lastIndex = position;
    const match = grammar.exec(trimmed);
    if (match === null || parameters.size === MAX_PARAMETERS) return null;
    const [, name = "", quoted, bare = ""] = match;
    const key = name.toLowerCase();
    if (parameters.has(key)) return null;
    parameters.set(key, quoted === undefined ? bare.trim() : unescape(quoted));
    position = grammar.lastIndex;
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
