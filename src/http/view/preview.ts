import { Link } from "../../core/link.ts";

/**
 * The preview of a file on its page: the file itself, in an element of this kind, or the reason for
 * none.
 */
export type Preview =
  | { readonly kind: "image" | "video" | "audio" | "text"; readonly source: Link }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Images that every browser displays. SVG is among them: within an `img` it runs no script and
 * loads nothing.
 */
const IMAGE_TYPES: ReadonlySet<string> = new Set([
  "image/apng",
  "image/avif",
  "image/bmp",
  "image/gif",
  "image/jpeg",
  "image/png",
  "image/svg+xml",
  "image/vnd.microsoft.icon",
  "image/webp",
  "image/x-icon",
]);

/** Text types other than `text/…`, `…+json` and `…+xml`. */
const TEXT_TYPES =
  /^application\/(?:javascript|json|json5|node|sql|toml|x-httpd-php|x-perl|x-sh|x-tex|xml|xml-dtd|yaml|x-yaml)$/;

/** The page loads the image without being asked. */
const MAX_IMAGE_BYTES = 32 * 1024 ** 2;

/** A browser loads and lays out the whole text, visible or not. */
const MAX_TEXT_BYTES = 1024 ** 2;

/**
 * The preview of the file behind a link. Only what browsers display without running any of it:
 * images in an `img`, video and audio in a player, and the source of every text, including pages
 * and scripts, as the same bytes are served with the extension `txt`: plain text. There is no
 * preview of PDF, which browsers display in no sandboxed frame; it can be opened by itself.
 *
 * @param size bytes
 */
export function previewOf(link: Link, size: number): Preview {
  const essence = link.mediaType.split(";", 1)[0] ?? "";
  if (size === 0) return { kind: "none", reason: "The file is empty." };
  if (IMAGE_TYPES.has(essence)) return size <= MAX_IMAGE_BYTES ? { kind: "image", source: link } : tooLarge();
  if (essence.startsWith("video/")) return { kind: "video", source: link };
  if (essence.startsWith("audio/")) return { kind: "audio", source: link };
  if (isText(essence)) {
    return size <= MAX_TEXT_BYTES ? { kind: "text", source: Link.to(link.digest, "txt") } : tooLarge();
  }
  return { kind: "none", reason: "No preview available for this file type." };
}

function isText(essence: string): boolean {
  return essence.startsWith("text/") || /\+(?:json|xml)$/.test(essence) || TEXT_TYPES.test(essence);
}

function tooLarge(): Preview {
  return { kind: "none", reason: "The file is too large to be shown here." };
}
