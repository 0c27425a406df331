const SEGMENTS = new Intl.Segmenter();

/** What takes two columns on a terminal (Unicode's East Asian Width W and F, roughly), by the first code point. */
const WIDE =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** Columns that a text without control characters takes on a terminal. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of SEGMENTS.segment(text)) columns += widthOf(segment);
  return columns;
}

/** A text in exactly `columns` columns: filled with spaces, or with its middle left out, for names begin and end with sense. */
export function fitted(text: string, columns: number): string {
  const width = columnsOf(text);
  if (width <= columns) return text + " ".repeat(columns - width);
  if (columns < 1) return "";
  const segments = Array.from(SEGMENTS.segment(text), ({ segment }) => segment);
  const head = taken(segments, Math.ceil((columns - 1) / 2));
  const tail = taken(segments.toReversed(), columns - 1 - columnsOf(head.join("")));
  const short = `${head.join("")}…${tail.toReversed().join("")}`;
  return short + " ".repeat(columns - columnsOf(short));
}

function taken(segments: readonly string[], columns: number): string[] {
  const chosen: string[] = [];
  let left = columns;
  for (const segment of segments) {
    left -= widthOf(segment);
    if (left < 0) break;
    chosen.push(segment);
  }
  return chosen;
}

function widthOf(segment: string): number {
  return WIDE.test(segment) ? 2 : 1;
}
