import { isUtf8 } from "node:buffer";
import { TextDecoder } from "node:util";

/** What bytes are that are not UTF-8 and declare nothing: Latin-1, read as browsers read it (WHATWG Encoding, section 4.2). */
const FALLBACK = "windows-1252";

/**
 * Reads a field's value in the charset that was declared for it, else in UTF-8, else in Latin-1. Never fails: a charset
 * that is unknown counts as undeclared, and bytes that are not in the charset become U+FFFD.
 */
export function decodeText(bytes: Buffer, charset: string | null): string {
  const declared = charset === null ? null : decoderOf(charset);
  return declared === null ? decodeHead(bytes, null) : declared.decode(bytes);
}

/**
 * Reads a header section, names in it included: UTF-8 (RFC 7578, section 5.1), else the form's own charset, else
 * Latin-1.
 *
 * @param formCharset as {@link charsetOfForm} returns it
 */
export function decodeHead(bytes: Buffer, formCharset: string | null): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  return (decoderOf(formCharset ?? FALLBACK) ?? new TextDecoder(FALLBACK)).decode(bytes);
}

/**
 * The charset that a `_charset_` field declares, or `null` where it is none that a form can be in. In UTF-16 not even the
 * boundaries would be where they are, so browsers send UTF-8 instead (WHATWG HTML, "picking an encoding for the form").
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
