/** Longest name kept, in UTF-16 units; what follows is cut, the extension is kept. */
const MAX_LENGTH = 255;

// C0 and C1 controls, and the marks that reorder or hide text (bidirectional overrides, zero-width spaces, line
// separators; not the joiners, which Persian, Hindi and emoji are written with):
// a name is shown to people and written to logs, and must read there as what it is.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * A client's name for a file, fit to be shown and to be offered as a download's name: the last segment of whatever path
 * it was, without invisible characters, at most 255 characters. `null` where nothing is left of it. A name is only ever
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
  return segment.slice(0, MAX_LENGTH - suffix.length).toWellFormed() + suffix;
}

/** What follows the last dot of a name where that makes a link's extension (1 to 16 of `[a-z0-9]`), lower-cased. */
export function extensionOfName(name: string | null): string | null {
  const match = name === null ? null : /.\.([a-z0-9]{1,16})$/i.exec(name);
  return match?.[1]?.toLowerCase() ?? null;
}
