import mime from "mime";
import { EXTENSIONS } from "./media-type-names.ts";

/** The type of bytes about which nothing is known (RFC 2046, section 4.5.1). */
export const OCTET_STREAM = "application/octet-stream";

/**
 * Extensions whose type in the package `mime` is missing or wrong for most files. `.ts` and `.mts`
 * are TypeScript far more often than an MPEG stream, for which a browser would show a video player
 * that cannot play them; streams are `.m2ts`. JPEG has more extensions than the registered ones:
 * Windows and Chrome save `.jfif`, and browsers offer `.pjpeg` and `.pjp` in their file dialogs.
 */
const TYPES: Readonly<Record<string, string>> = {
  cts: "text/plain",
  mts: "text/plain",
  ts: "text/plain",
  tsx: "text/plain",
  jfi: "image/jpeg",
  jfif: "image/jpeg",
  jif: "image/jpeg",
  pjp: "image/jpeg",
  pjpeg: "image/jpeg",
};

/**
 * The media type of an extension (lower-case, without the dot), with `charset=utf-8` for text;
 * `application/octet-stream` for none or an unknown one.
 */
export function mediaTypeOf(extension: string | null): string {
  if (extension === null) return OCTET_STREAM;
  const type = (Object.hasOwn(TYPES, extension) ? TYPES[extension] : null) ?? mime.getType(extension);
  if (type === null) return OCTET_STREAM;
  return type.startsWith("text/") ? `${type}; charset=utf-8` : type;
}

/**
 * The usual extension of a media type, or `null`. Everything after the type is ignored, well-formed
 * or not.
 */
export function extensionOf(mediaType: string): string | null {
  const essence = /^[^\s;,]+/.exec(mediaType.trimStart())?.[0].toLowerCase() ?? "";
  if (essence === "" || essence === OCTET_STREAM) return null;
  return EXTENSIONS.get(essence) ?? mime.getExtension(essence);
}
