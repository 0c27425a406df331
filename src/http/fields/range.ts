import { formatExactSize } from "../../base/format-size.ts";
import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";

/** A field with more ranges is ignored as an attack (RFC 9110, section 17.15). */
const MAX_REQUESTED_RANGES = 256;
/** Ranges in one response. A request for more gets the whole blob. */
const MAX_SENT_RANGES = 16;

const RANGE_SPEC = /^(?:(\d+)-(\d*)|-(\d+))$/;

/**
 * Parses a `Range` field (RFC 9110, section 14.2). `null` if it must be ignored: a unit other than
 * bytes, a malformed range set, or too many ranges. A range whose end precedes its start is
 * dropped, because no blob satisfies it. The list may therefore be empty, which is 416 for every
 * blob.
 */
export function parseRange(text: string): readonly ByteRange[] | null {
  // Range units are case-insensitive (section 14.1).
  if (!/^bytes=/i.test(text)) return null;
  const specs = text
    .slice("bytes=".length)
    .split(",")
    .map((spec) => spec.trim())
    .filter((spec) => spec !== "");
  if (specs.length === 0 || specs.length > MAX_REQUESTED_RANGES) return null;
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
 * Whether a `Range` field holds one range that every server parses as fixity does. Other servers
 * cannot be relied upon to ignore what fixity ignores and to accept what it accepts.
 */
export function isPlainRange(text: string): boolean {
  return /^bytes=(?:\d{1,15}-(?:\d{1,15})?|-\d{1,15})$/.test(text) && parseRange(text)?.length === 1;
}

function rangeOf([, first, last, suffix]: RegExpExecArray): ByteRange | null {
  if (first === undefined) return ByteRange.suffix(position(suffix));
  return ByteRange.between(position(first), last === "" ? null : position(last));
}

/** All positions beyond the end of every blob are equivalent. */
function position(digits: string | undefined): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/**
 * The spans to send of a blob of `size` bytes, in the requested order. Spans that overlap or touch
 * are joined into the first of them, as RFC 9110, section 15.3.7.2 allows. `null` if there are too
 * many: the whole blob is sent then.
 *
 * @throws FixityError `range-not-satisfiable`, with the `size`, if no range has a byte in the blob
 */
export function resolveRanges(ranges: readonly ByteRange[], size: number): readonly ByteSpan[] | null {
  let spans: ByteSpan[] = [];
  for (const range of ranges) {
    const span = range.within(size);
    if (span !== null) spans = join(spans, span);
  }
  if (spans.length > MAX_SENT_RANGES) return null;
  if (spans.length > 0) return spans;
  throw new FixityError("range-not-satisfiable", `No range lies within the file, which has ${formatExactSize(size)}.`, {
    facts: { size },
  });
}

/** Adds a span to pairwise disjoint spans. The result is disjoint again. */
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
