import { isUtf8 } from "node:buffer";
import { TextDecoder } from "node:util";
import type { Fields } from "../exchange.ts";
import { dispositionParameters, fileNameIn } from "../fields/content-disposition.ts";
import { mediaTypeIn, parseContentType } from "../fields/content-type.ts";
import { bareLineFeed, hasBareLineFeed, malformedForm } from "./form-errors.ts";

/**
 * What a part is. A part with a file name is a `file`, and so is a part without one whose media
 * type is not text: generated clients send files like that. They also send JSON and XML parameters
 * like that, beside the file: such a part is `data`, a field unless the form has no other file.
 */
export type PartKind = "field" | "file" | "data";

/** What a part's `Content-Disposition` states. */
export interface FormDisposition {
  /** The name of the form field. */
  readonly name: string;
  /**
   * As sent, not cleaned; empty for a file input without a chosen file; `null` if the part has no
   * file name.
   */
  readonly fileName: string | null;
}

/** The parsed header section of a form part. */
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

/** Transfer encodings that leave the bytes unchanged (RFC 2045, section 6.2). */
const IDENTITY_ENCODINGS: ReadonlySet<string> = new Set(["7bit", "8bit", "binary"]);

/** Media types of parameters that are sent without a file name. */
const DATA_TYPE = /^application\/(?:json|xml|[^/]+\+(?:json|xml)|x-www-form-urlencoded)$/;

/**
 * Parses the text between a boundary and the empty line: the rest of the boundary's own line, then
 * header fields.
 *
 * @param formCharset the charset that a `_charset_` field declared before this part
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
  // The encoding of a field does not matter, because fields are not stored.
  const encoding = fields.get("content-transfer-encoding");
  if (kind !== "field" && encoding !== undefined && !IDENTITY_ENCODINGS.has(encoding.toLowerCase())) {
    throw malformedForm("A file has a Content-Transfer-Encoding: send its bytes unencoded (RFC 7578, section 4.7).");
  }
  return { kind, name, fileName: kind === "field" ? null : (fileName ?? ""), mediaType, charset, fields };
}

/**
 * Parses the `Content-Disposition` of a form part (RFC 7578, section 4.2). That section forbids
 * `filename*`, but clients send it: it takes precedence if it can be decoded, and still marks the
 * part as a file if it cannot.
 *
 * @throws FixityError `malformed-form`
 */
export function parseFormDisposition(text: string): FormDisposition {
  const end = text.indexOf(";");
  const type = text.slice(0, end === -1 ? undefined : end);
  if (type.trim().toLowerCase() !== "form-data") {
    throw malformedForm("A part's Content-Disposition is not form-data.");
  }
  const parameters = dispositionParameters(text);
  if (parameters === null) {
    throw malformedForm("A part's Content-Disposition is malformed or repeats a parameter.");
  }
  const name = parameters.get("name");
  if (name === undefined) throw malformedForm("A part has no field name.");
  return { name, fileName: fileNameIn(parameters) };
}

function kindOf(fileName: string | null, mediaType: string | null): PartKind {
  if (fileName !== null) return "file";
  if (mediaType === null || mediaType.startsWith("text/")) return "field";
  if (mediaType.startsWith("multipart/")) {
    throw malformedForm("A part has nested parts: send each file in a part of the form (RFC 7578, section 4.3).");
  }
  return DATA_TYPE.test(mediaType) ? "data" : "file";
}

function parseFields(head: string): Map<string, string> {
  const [padding = "", ...lines] = unfold(head).split("\r\n");
  // Gateways may add transport padding (RFC 2046, section 5.1.1).
  if (padding.trim() !== "") throw malformedForm("A boundary is followed by other text on its line.");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    if (!FIELD_NAME.test(name) || /[\r\n]/.test(line)) throw malformedForm("A part's header section is malformed.");
    const key = name.toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = fields.get(key);
    if (before !== undefined && key.startsWith("content-")) throw malformedForm(`A part has two ${name} fields.`);
    fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

/** Joins folded fields: a continuation line begins with white space (RFC 5322, section 2.2.3). */
function unfold(head: string): string {
  return head.replace(/\r\n(?=[ \t])/g, "");
}

/**
 * The charset of undeclared bytes that are not UTF-8: Latin-1 as browsers decode it (WHATWG
 * Encoding, section 4.2).
 */
const FALLBACK_CHARSET = "windows-1252";

/**
 * Decodes a field's value in its declared charset, otherwise as UTF-8, otherwise as Latin-1. Never
 * fails: an unknown charset counts as undeclared, and bytes that are invalid in the charset become
 * U+FFFD.
 */
export function decodeText(bytes: Buffer, charset: string | null): string {
  const declared = charset === null ? null : decoderOf(charset);
  return declared === null ? decodeHead(bytes, null) : declared.decode(bytes);
}

/**
 * Decodes a header section and the names in it: UTF-8 (RFC 7578, section 5.1), otherwise the form's
 * own charset, otherwise Latin-1.
 *
 * @param formCharset as {@link charsetOfForm} returns it
 */
export function decodeHead(bytes: Buffer, formCharset: string | null): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  return (decoderOf(formCharset ?? FALLBACK_CHARSET) ?? new TextDecoder(FALLBACK_CHARSET)).decode(bytes);
}

/**
 * The charset that a `_charset_` field declares, or `null` if no form can be in it. In UTF-16 even
 * the boundaries would be encoded differently, so browsers send UTF-8 instead (WHATWG HTML,
 * "picking an encoding for the form").
 */
export function charsetOfForm(label: string): string | null {
  const decoder = decoderOf(label);
  return decoder === null || decoder.encoding.startsWith("utf-16") ? null : decoder.encoding;
}

function decoderOf(charset: string): TextDecoder | null {
  try {
    return new TextDecoder(charset, { ignoreBOM: true });
  } catch {
    return null;
  }
}
