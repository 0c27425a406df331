import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";

/** More ranges than this in one field are no reader's wish (RFC 9110, section 17.15): the field is ignored. */
const MAX_ASKED = 256;
/** Most ranges sent in one answer. */
const MAX_SENT = 16;

const RANGE_SPEC = /^(?:(\d+)-(\d*)|-(\d+))$/;

/**
 * Reads a `Range` field (RFC 9110, section 14.2). `null` where it is to be ignored: another unit than bytes, a text that is
 * no range set, or too many ranges. A range whose end stands before its start is left out, as no blob can satisfy it;
 * so the list may be empty, which is 416 for every blob.
 */
export function parseRange(text: string): readonly ByteRange[] | null {
  // the unit has no case (section 14.1)
  if (!/^bytes=/i.test(text)) return null;
  const specs = text
    .slice("bytes=".length)
    .split(",")
    .map((spec) => spec.trim())
    .filter((spec) => spec !== "");
  if (specs.length === 0 || specs.length > MAX_ASKED) return null;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const match = RANGE_SPEC.exec(spec);
    if (match === null) return null;
    const range = rangeOf(match);
    if (range !== null) ranges.push(range);
  }
  return ranges;
}

/**
 * Whether a `Range` field holds one range, written so that every server reads it as we do: no other may be trusted to
 * ignore what we ignore, and to take what we take.
 */
export function isPlainRange(text: string): boolean {
  return /^bytes=(?:\d{1,15}-(?:\d{1,15})?|-\d{1,15})$/.test(text) && parseRange(text)?.length === 1;
}

function rangeOf([, first, last, suffix]: RegExpExecArray): ByteRange | null {
  if (first === undefined) return ByteRange.suffix(position(suffix));
  return ByteRange.between(position(first), last === "" ? null : position(last));
}

/** A position behind the end of every blob is as good as any other. */
function position(digits: string | undefined): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/**
 * What to send of a blob of `size` bytes: the spans in the order in which they were asked for, those that overlap or touch
 * joined into the first of them, as RFC 9110, section 15.3.7.2 allows. `null` where that would be too many: then the whole
 * blob is sent.
 *
 * @throws FixityError `range-not-satisfiable`, with the `size`, where no range has a byte in the blob
 */
export function resolveRanges(ranges: readonly ByteRange[], size: number): readonly ByteSpan[] | null {
  let spans: ByteSpan[] = [];
  for (const range of ranges) {
    const span = range.within(size);
    if (span !== null) spans = join(spans, span);
  }
  if (spans.length > MAX_SENT) return null;
  if (spans.length > 0) return spans;
  throw new FixityError("range-not-satisfiable", `No range lies within the ${size} bytes there are.`, {
    facts: { size },
  });
}

/** Adds a span to spans of which no two meet, so that again no two do. */
function join(spans: readonly ByteSpan[], added: ByteSpan): ByteSpan[] {
  const meeting = spans.filter((span) => span.start <= added.end && added.start <= span.end);
  const [first] = meeting;
  if (first === undefined) return [...spans, added];
  const joined = {
    start: Math.min(added.start, ...meeting.map((span) => span.start)),
    end: Math.max(added.end, ...meeting.map((span) => span.end)),
  };
  return spans.flatMap((span) => {
    if (span === first) return [joined];
    return meeting.includes(span) ? [] : [span];
  });
}
