import { malformedForm } from "./form-errors.ts";

/** What ends the header section of a part (RFC 2046, section 5.1). */
export const HEAD_END: Buffer = Buffer.from("\r\n\r\n");

/**
 * The bytes that part a form: CRLF, two hyphens, the boundary. RFC 2046 allows 1 to 70 of some characters; senders are
 * not that exact, so any printable ASCII up to 200 is taken. No CR can be in it, on which `ByteScanner` relies.
 *
 * @throws FixityError `malformed-form`
 */
export function delimiterOf(boundary: string | undefined): Buffer {
  if (boundary === undefined) throw malformedForm("The form's Content-Type names no boundary.");
  if (!/^[\x20-\x7e]{0,199}[\x21-\x7e]$/.test(boundary)) {
    throw malformedForm("The form's boundary is not 1 to 200 printable ASCII characters.");
  }
  return Buffer.from(`\r\n--${boundary}`, "latin1");
}
