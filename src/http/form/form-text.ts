import { isUtf8 } from "node:buffer";
import { TextDecoder } from "node:util";
import { malformedForm } from "./form-errors.ts";

/** What bytes are that are not UTF-8 and do not say: Latin-1, read as browsers read it (WHATWG Encoding, section 4.2). */
const FALLBACK = "windows-1252";

/**
 * Reads a field's value in the charset that was declared for it, else in UTF-8, else in Latin-1: whatever the sender
 * meant, no character is lost.
 *
 * @throws FixityError `malformed-form` where the charset is not known, or the bytes are not in it
 */
export function decodeText(bytes: Buffer, charset: string | null): string {
  if (charset === null) return decodeHead(bytes, null);
  const decoder = decoderOf(charset, true);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw malformedForm("A field's value is not in the charset that it declares.", cause);
  }
}

/**
 * Reads a header section, names in it included: UTF-8 (RFC 7578, section 5.1), else the form's own charset, else
 * Latin-1.
 *
 * @throws FixityError `malformed-form` where the form's charset is not known
 */
export function decodeHead(bytes: Buffer, formCharset: string | null): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  return decoderOf(formCharset ?? FALLBACK, false).decode(bytes);
}

function decoderOf(charset: string, fatal: boolean): TextDecoder {
  try {
    return new TextDecoder(charset, { fatal, ignoreBOM: true });
  } catch (cause) {
    throw malformedForm("The form declares a charset that is not known.", cause);
  }
}
