const SEGMENTER = new Intl.Segmenter();

/**
 * Characters that take two columns on a terminal: roughly Unicode's East Asian Width W and F, by
 * the first code point.
 */
const WIDE_CHARACTER =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** A number with its noun: `1 blob`, `3 blobs`, `1,204 blobs`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Text in lines of at most `width` characters, each indented by `indent` spaces. Longer words stay
 * whole.
 */
export function wrapped(text: string, indent: number, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((line) => " ".repeat(indent) + line);
}

/** The number of terminal columns that a text without control characters takes. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of SEGMENTER.segment(text)) columns += widthOf(segment);
  return columns;
}

/**
 * A text in exactly `columns` columns: padded with spaces, or with `…` for its middle, because both
 * ends of names matter.
 */
export function fitted(text: string, columns: number): string {
  const width = columnsOf(text);
  if (width <= columns) return text + " ".repeat(columns - width);
  if (columns < 1) return "";
  const segments = Array.from(SEGMENTER.segment(text), ({ segment }) => segment);
  const head = takeColumns(segments, Math.ceil((columns - 1) / 2));
  const tail = takeColumns(segments.toReversed(), columns - 1 - columnsOf(head.join("")));
  const short = `${head.join("")}…${tail.toReversed().join("")}`;
  return short + " ".repeat(columns - columnsOf(short));
}

function takeColumns(segments: readonly string[], columns: number): string[] {
  const taken: string[] = [];
  let left = columns;
  for (const segment of segments) {
    left -= widthOf(segment);
    if (left < 0) break;
    taken.push(segment);
  }
  return taken;
}

function widthOf(segment: string): number {
  return WIDE_CHARACTER.test(segment) ? 2 : 1;
}
