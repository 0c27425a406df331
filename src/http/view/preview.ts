import { Link } from "../../core/link.ts";

/** What a page shows of a file: the file itself, in an element of this kind, or why not. */
export type Preview =
  | { readonly kind: "image" | "video" | "audio" | "text"; readonly source: Link }
  | { readonly kind: "none"; readonly reason: string };

/** The images that every browser shows. SVG is among them: what is in an `img` runs no script and loads nothing. */
const IMAGES: ReadonlySet<string> = new Set([
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

/** Texts that are not `text/…` and do not end in `+json` or `+xml`. */
const TEXTS =
  /^application\/(?:javascript|json|json5|node|sql|toml|x-httpd-php|x-perl|x-sh|x-tex|xml|xml-dtd|yaml|x-yaml)$/;

/** Bytes of an image that is loaded without being asked for. */
const MAX_IMAGE = 32 * 1024 ** 2;

/** Bytes of a text that is loaded whole; a browser lays all of it out, seen or not. */
const MAX_TEXT = 1024 ** 2;

/**
 * What a page shows of the file behind a link. Only what browsers show without running anything of it: images in an `img`,
 * video and audio in a player, and the source of every text, be it a page or a script, as what its bytes are under the
 * extension `txt`: plain text. PDF is left out, for browsers show it in no sandboxed frame.
 *
 * @param size bytes
 */
export function previewOf(link: Link, size: number): Preview {
  const essence = link.mediaType.split(";", 1)[0] ?? "";
  if (size === 0) return { kind: "none", reason: "The file is empty." };
  if (IMAGES.has(essence)) return size <= MAX_IMAGE ? { kind: "image", source: link } : tooLarge();
  if (essence.startsWith("video/")) return { kind: "video", source: link };
  if (essence.startsWith("audio/")) return { kind: "audio", source: link };
  if (isText(essence)) return size <= MAX_TEXT ? { kind: "text", source: Link.to(link.digest, "txt") } : tooLarge();
  return { kind: "none", reason: "Files of this type are not shown here." };
}

function isText(essence: string): boolean {
  return essence.startsWith("text/") || /\+(?:json|xml)$/.test(essence) || TEXTS.test(essence);
}

function tooLarge(): Preview {
  return { kind: "none", reason: "The file is too large to be shown here." };
}
