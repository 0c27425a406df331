import { cleanExtension } from "./link.ts";
import { extensionOf } from "./media-type.ts";

/** What a client states about a file besides its bytes. */
export interface Naming {
  /** The file's name; its extension becomes the link's. */
  readonly filename?: string | null | undefined;
  /**
   * The declared media type. It gives the link an extension if the name has none, and is ignored
   * otherwise.
   */
  readonly type?: string | null | undefined;
  /** The extension of the link, whatever the name and the type are. `null` for none. */
  readonly extension?: string | null | undefined;
}

/** The file's name, cleaned, and the extension of its link. */
export function settleNaming({ filename, type, extension }: Naming): { name: string | null; extension: string | null } {
  const name = cleanFileName(filename);
  if (extension !== undefined) return { name, extension: cleanExtension(extension) };
  return { name, extension: extensionOfName(name) ?? (type === null || type === undefined ? null : extensionOf(type)) };
}

/**
 * UTF-16 code units that are kept. A longer name is cut between characters and keeps its extension.
 */
const MAX_NAME_LENGTH = 255;

/**
 * The longest character that is kept whole: the longest emoji sequences have about 30 code units.
 */
const MAX_CHARACTER_LENGTH = 64;

// C0 and C1 controls, and the characters that reorder or hide text: bidirectional overrides,
// zero-width spaces, line separators. A name is shown to people and written to logs, and must not
// deceive there. The zero-width joiners stay: Persian, Hindi and emoji need them.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * A client's name for a file, safe to show and to offer as the name of a download: the last segment
 * of a path, without invisible characters, at most 255 UTF-16 code units. `null` if nothing is
 * left. No path or key is ever made from it.
 */
export function cleanFileName(name: string | null | undefined): string | null {
  if (name === null || name === undefined) return null;
  const visible = name.toWellFormed().replace(INVISIBLE, "");
  const segment = visible.slice(Math.max(visible.lastIndexOf("/"), visible.lastIndexOf("\\")) + 1).trim();
  if (segment === "" || segment === "." || segment === "..") return null;
  if (segment.length <= MAX_NAME_LENGTH) return segment;
  const extension = extensionOfName(segment);
  const suffix = extension === null ? "" : `.${extension}`;
  return cutBetweenCharacters(segment, MAX_NAME_LENGTH - suffix.length).trimEnd() + suffix;
}

/**
 * The first characters of a text, as people count them: emoji of several code points, and letters
 * with combining marks, stay whole. A sequence too long to be a character is cut between code
 * points.
 */
function cutBetweenCharacters(text: string, maxLength: number): string {
  let end = 0;
  // the slice may end within a character, but only within one that passes maxLength anyway
  for (const { index, segment } of new Intl.Segmenter().segment(text.slice(0, maxLength + MAX_CHARACTER_LENGTH))) {
    if (index + segment.length > maxLength) break;
    end = index + segment.length;
  }
  if (maxLength - end < MAX_CHARACTER_LENGTH) return text.slice(0, end);
  const cut = text.slice(0, maxLength);
  return cut.isWellFormed() ? cut : cut.slice(0, -1);
}

/**
 * The part after the last dot of a name, lower-cased, if a link can have it as its extension (1 to
 * 16 of `[a-z0-9]`).
 */
export function extensionOfName(name: string | null): string | null {
  const match = name === null ? null : /.\.([a-z0-9]{1,16})$/i.exec(name);
  return match?.[1]?.toLowerCase() ?? null;
}
