import mime from "mime";

/** What bytes are when nothing is known about them (RFC 2046, section 4.5.1). */
export const OCTET_STREAM = "application/octet-stream";

/**
 * The media type of an extension (without dot, lower case), with `charset=utf-8` for text; `application/octet-stream`
 * where there is none or it is not known.
 */
export function mediaTypeOf(extension: string | null): string {
  const type = extension === null ? null : mime.getType(extension);
  if (type === null) return OCTET_STREAM;
  return type.startsWith("text/") ? `${type}; charset=utf-8` : type;
}

/** The usual extension of a media type (its parameters are passed over), or `null`. */
export function extensionOf(mediaType: string): string | null {
  const essence = mediaType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return essence === OCTET_STREAM ? null : mime.getExtension(essence);
}
