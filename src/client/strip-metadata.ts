/**
 * The entry `fixity/client/strip-metadata`: removes metadata from JPEG, PNG and WebP without
 * re-encoding them. Each format has a file in `metadata/`, which lists what is kept; everything
 * else is dropped, so unknown metadata goes, too. Only header sections are read into memory: the
 * result consists of slices of the file. What cannot be parsed to its end is refused.
 */
import { FixityClientError } from "./errors.ts";
import { FileReader, type Rewriter } from "./metadata/file-reader.ts";
import { rewriteJpeg } from "./metadata/jpeg.ts";
import { rewritePng } from "./metadata/png.ts";
import { rewriteWebp } from "./metadata/webp.ts";

/** Options of {@link stripMetadata}. */
export interface StripMetadataOptions {
  /** When it aborts, `stripMetadata` rejects with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * What happens to images and videos of other formats, such as HEIC and MP4, which may state where
   * they were taken, too: `refuse` throws, `keep` returns them as they are.
   *
   * @default "refuse"
   */
  readonly unsupported?: "refuse" | "keep" | undefined;
}

/** Bytes that show the format of a file. */
const SIGNATURE_BYTES = 16;

/** Signatures at offset 0 of media of other formats, as Latin-1. */
const OTHER_MEDIA: readonly string[] = [
  "GIF8",
  "II*\0", // TIFF, and most raw formats
  "MM\0*",
  "II+\0", // BigTIFF
  "MM\0+",
  "8BPS",
  "\xff\x0a", // JPEG XL
  "\0\0\0\x0cJXL ",
  "\0\0\0\x0cjP  ", // JPEG 2000
  "\x1aE\xdf\xa3", // Matroska, WebM
];

/**
 * Removes EXIF, GPS, XMP, IPTC, comments, thumbnails, and whatever follows the image (as in motion
 * photos) from a JPEG, PNG or WebP, and keeps its pixels, orientation, colour profile and animation.
 * Fits the `prepare` option of a client.
 *
 * @returns a new file of the same name and type. If it is `file` itself, nothing was removed: it is
 *   neither an image nor a video, or `unsupported` is `keep`
 * @throws FixityClientError `metadata-not-removed` for a damaged image, and for an image or video of
 *   another format; `source-changed`; `aborted`
 */
export async function stripMetadata(file: File, options?: StripMetadataOptions): Promise<File>;
export async function stripMetadata(file: Blob, options?: StripMetadataOptions): Promise<Blob>;
export async function stripMetadata(
  file: Blob,
  { signal, unsupported = "refuse" }: StripMetadataOptions = {},
): Promise<Blob> {
  const reader = new FileReader(file, signal);
  const start = await reader.read(0, Math.min(SIGNATURE_BYTES, file.size));
  const signature = String.fromCharCode(...start);
  const rewrite = rewriterOf(signature);
  if (rewrite === null) {
    if (unsupported === "keep" || !isOtherMedia(signature, file.type)) return file;
    const shown = file.type === "" ? "" : ` (${file.type.slice(0, 100)})`;
    const detail = `Metadata can be removed from JPEG, PNG and WebP, but not from this kind of file${shown}.`;
    throw new FixityClientError("metadata-not-removed", detail);
  }
  const parts = await rewrite(reader);
  const { type } = file;
  if (!(file instanceof File)) return new Blob(parts, { type });
  return new File(parts, file.name, { type, lastModified: file.lastModified });
}

function rewriterOf(signature: string): Rewriter | null {
  if (signature.startsWith("\xff\xd8")) return rewriteJpeg;
  if (signature.startsWith("\x89PNG")) return rewritePng;
  if (signature.startsWith("RIFF") && signature.slice(8, 12) === "WEBP") return rewriteWebp;
  return null;
}

/** Whether a file may be an image or a video, by its first bytes or by its type. */
function isOtherMedia(signature: string, type: string): boolean {
  if (/^(?:image|video)\//i.test(type)) return true;
  // HEIC, AVIF, MP4 and QuickTime begin with one of these boxes
  if (/^(?:\0[^]{3}(?:ftyp|moov|wide|free|skip)|[^]{4}mdat)/.test(signature)) return true;
  if (signature.startsWith("RIFF")) return signature.slice(8, 12) === "AVI ";
  return OTHER_MEDIA.some((other) => signature.startsWith(other));
}
