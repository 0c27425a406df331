import { OCTET_STREAM } from "../../core/media-type.ts";
import type { Fields } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { type FormDisposition, parseFormDisposition } from "./form-disposition.ts";
import { bareLineFeed, hasBareLineFeed, malformedForm } from "./form-errors.ts";
import { decodeHead } from "./form-text.ts";

/** The header section of a form part, read. */
export interface PartHead extends FormDisposition {
  /** The declared media type without parameters, or `null`. */
  readonly mediaType: string | null;
  /** The declared charset, or `null`. */
  readonly charset: string | null;
  /** All header fields of the part. */
  readonly fields: Fields;
}

const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Encodings that leave the bytes as they are (RFC 2045, section 6.2). */
const IDENTITY_ENCODINGS: ReadonlySet<string> = new Set(["7bit", "8bit", "binary"]);

/**
 * Reads what stands between a boundary and the empty line: the rest of the boundary's own line, then header fields.
 *
 * @param formCharset what a `_charset_` field has declared before this part
 * @throws FixityError `malformed-form`
 */
export function parsePartHead(bytes: Buffer, formCharset: string | null): PartHead {
  if (hasBareLineFeed(bytes)) throw bareLineFeed("A line of a part's header section");
  const fields = parseFields(decodeHead(bytes, formCharset));
  const disposition = fields.get("content-disposition");
  if (disposition === undefined) throw malformedForm("A part has no Content-Disposition.");
  const encoding = fields.get("content-transfer-encoding");
  if (encoding !== undefined && !IDENTITY_ENCODINGS.has(encoding.toLowerCase())) {
    throw malformedForm("A part has a Content-Transfer-Encoding: send the bytes as they are (RFC 7578, section 4.7).");
  }
  const type = parseContentType(fields.get("content-type"));
  const mediaType = type?.essence ?? null;
  const charset = type?.parameters.get("charset") ?? null;
  const { name, fileName } = parseFormDisposition(disposition);
  // fetch in Node sends a file without a name like this; nobody sends text so
  const isNamelessFile = fileName === null && mediaType === OCTET_STREAM;
  return { name, fileName: isNamelessFile ? "" : fileName, mediaType, charset, fields };
}

function parseFields(head: string): Map<string, string> {
  const [padding = "", ...lines] = unfold(head).split("\r\n");
  // transport padding, which a gateway may have added (RFC 2046, section 5.1.1)
  if (padding.trim() !== "") throw malformedForm("A boundary is followed by something else on its line.");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    if (!FIELD_NAME.test(name) || /[\r\n]/.test(line)) throw malformedForm("A part's header section cannot be parsed.");
    const key = name.toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = fields.get(key);
    if (before !== undefined && key.startsWith("content-")) throw malformedForm(`A part has two ${name} fields.`);
    fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

/** Joins a field that goes on in the next line, which begins with white space then (RFC 5322, section 2.2.3). */
function unfold(head: string): string {
  return head.replace(/\r\n(?=[ \t])/g, "");
}
