import { isUtf8 } from "node:buffer";
import { create, parse } from "content-disposition";
import { cleanFileName } from "../../core/file-name.ts";

/**
 * The file name in a request's `Content-Disposition` (RFC 6266): `filename*` where there is one that can be decoded, else
 * `filename`, as it was sent. `null` where there is none.
 */
export function fileNameOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const { filename } = parse(fromBytes(text)).parameters;
  return filename ?? null;
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
  // quotes, backslashes and percent signs are ASCII, but not read alike by all clients
  return create(clean, { type, fallback: clean.replace(/[^\x20-\x7e]|["\\%]/gu, "_") });
}

/** A field's text has one character a byte; clients that know no RFC 8187 send UTF-8 as it is. */
function fromBytes(text: string): string {
  if (/[^\x00-\xff]/.test(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : text;
}
