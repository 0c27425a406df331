/** Longest name kept, in UTF-16 code units. A longer one is cut between characters and keeps its extension. */
const MAX_LENGTH = 255;

/** Longest character that is kept whole: the longest emoji sequences have about 30 code units. */
const MAX_CHARACTER_LENGTH = 64;

// C0 and C1 controls, and the marks that reorder or hide text (bidirectional overrides, zero-width spaces, line
// separators; not the joiners, which Persian, Hindi and emoji are written with):
// a name is shown to people and written to logs, and must read there as what it is.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * A client's name for a file, fit to be shown and to be offered as a download's name: the last segment of whatever path
 * it was, without invisible characters, at most 255 UTF-16 code units. `null` where nothing is left of it. A name is only ever
 * shown; no path or key is made from it.
 */
export function cleanFileName(name: string | null | undefined): string | null {
  if (name === null || name === undefined) return null;
  const visible = name.toWellFormed().replace(INVISIBLE, "");
  const segment = visible.slice(Math.max(visible.lastIndexOf("/"), visible.lastIndexOf("\\")) + 1).trim();
  if (segment === "" || segment === "." || segment === "..") return null;
  if (segment.length <= MAX_LENGTH) return segment;
  const extension = extensionOfName(segment);
  const suffix = extension === null ? "" : `.${extension}`;
  return cutBetweenCharacters(segment, MAX_LENGTH - suffix.length).trimEnd() + suffix;
}

/**
 * The first characters of a text, as people count them: emoji of several code points and letters with their marks stay
 * whole. One that is too long to be a character is cut between code points.
 */
function cutBetweenCharacters(text: string, maxLength: number): string {
  let end = 0;
  // the slice ends within a character at worst, and that one is over the limit
  for (const { index, segment } of new Intl.Segmenter().segment(text.slice(0, maxLength + MAX_CHARACTER_LENGTH))) {
    if (index + segment.length > maxLength) break;
    end = index + segment.length;
  }
  if (maxLength - end < MAX_CHARACTER_LENGTH) return text.slice(0, end);
  const cut = text.slice(0, maxLength);
  return cut.isWellFormed() ? cut : cut.slice(0, -1);
}

/** What follows the last dot of a name where that makes a link's extension (1 to 16 of `[a-z0-9]`), lower-cased. */
export function extensionOfName(name: string | null): string | null {
  const match = name === null ? null : /.\.([a-z0-9]{1,16})$/i.exec(name);
  return match?.[1]?.toLowerCase() ?? null;
}
