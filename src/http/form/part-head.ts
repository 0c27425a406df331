import type { Fields } from "../exchange.ts";
import { mediaTypeIn, parseContentType } from "../fields/content-type.ts";
import { type FormDisposition, parseFormDisposition } from "./form-disposition.ts";
import { bareLineFeed, hasBareLineFeed, malformedForm } from "./form-errors.ts";
import { decodeHead } from "./form-text.ts";

/**
 * What a part is. A part with a file name is a `file`, and so is one without whose media type is not text: generated clients
 * send files like that. But they send JSON and XML like that too, as a parameter beside the file: this is `data`, a field
 * unless the form has no other file.
 */
export type PartKind = "field" | "file" | "data";

/** The header section of a form part, parsed. */
export interface PartHead extends FormDisposition {
  readonly kind: PartKind;
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

/** Types of parameters that have no file name. */
const DATA_TYPE = /^application\/(?:json|xml|[^/]+\+(?:json|xml)|x-www-form-urlencoded)$/;

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
  const contentType = fields.get("content-type");
  const mediaType = mediaTypeIn(contentType);
  const charset = parseContentType(contentType)?.parameters.get("charset") ?? null;
  const { name, fileName } = parseFormDisposition(disposition);
  const kind = kindOf(fileName, mediaType);
  // the encoding of a field does not matter, since nothing of it is stored
  const encoding = fields.get("content-transfer-encoding");
  if (kind !== "field" && encoding !== undefined && !IDENTITY_ENCODINGS.has(encoding.toLowerCase())) {
    throw malformedForm("A file has a Content-Transfer-Encoding: send its bytes as they are (RFC 7578, section 4.7).");
  }
  return { kind, name, fileName: kind === "field" ? null : (fileName ?? ""), mediaType, charset, fields };
}

function kindOf(fileName: string | null, mediaType: string | null): PartKind {
  if (fileName !== null) return "file";
  if (mediaType === null || mediaType.startsWith("text/")) return "field";
  if (mediaType.startsWith("multipart/")) {
    throw malformedForm("A part has parts of its own: send each file in a part of the form (RFC 7578, section 4.3).");
  }
  return DATA_TYPE.test(mediaType) ? "data" : "file";
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
