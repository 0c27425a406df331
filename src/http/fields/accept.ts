import { MAX_MEDIA_FIELD_LENGTH, parseParameters } from "./parameters.ts";

interface MediaRange {
  /** Lower-cased: `text/html`, or with an asterisk for either side or both. */
  readonly essence: string;
  /** From 0 to 1. */
  readonly weight: number;
}

/** An element of the list, with the comma behind it; commas in quoted strings do not count. */
const ELEMENT = /((?:[^,"]|"(?:[^"\\]|\\[^])*")*)(?:,|$)/y;

const MEDIA_RANGE = /^[ \t]*([^\s/;]+\/[^\s/;]+)/;

/**
 * The weight that an `Accept` field gives a media type without parameters, from 0 to 1: that of the most specific media
 * range that covers it (RFC 9110, section 12.5.1). Malformed elements are ignored, and so is a field that is too long.
 */
export function qualityOf(mediaType: string, accept: string): number {
  return weightOf(mediaType, parseMediaRanges(accept));
}

function weightOf(mediaType: string, ranges: readonly MediaRange[]): number {
  const wildcard = `${mediaType.slice(0, mediaType.indexOf("/"))}/*`;
  for (const covering of [mediaType, wildcard, "*/*"]) {
    const weights = ranges.filter(({ essence }) => essence === covering).map(({ weight }) => weight);
    if (weights.length > 0) return Math.max(...weights);
  }
  return 0;
}

/** Whether the client prefers a page to JSON, as a browser that sends a form does. Programs that accept anything get JSON. */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const ranges = parseMediaRanges(accept);
  return weightOf("text/html", ranges) > weightOf("application/json", ranges);
}

function parseMediaRanges(accept: string): readonly MediaRange[] {
  if (accept.length > MAX_MEDIA_FIELD_LENGTH) return [];
  const ranges: MediaRange[] = [];
  let position = 0;
  while (position < accept.length) {
    ELEMENT.lastIndex = position;
    const match = ELEMENT.exec(accept);
    // a quoted string that does not end takes the rest with it
    if (match === null) break;
    const range = parseMediaRange(match[1] ?? "");
    if (range !== null) ranges.push(range);
    position = ELEMENT.lastIndex;
  }
  return ranges;
}

function parseMediaRange(element: string): MediaRange | null {
  const match = MEDIA_RANGE.exec(element);
  const parameters = match === null ? null : parseParameters(element, match[0].length);
  if (match?.[1] === undefined || parameters === null) return null;
  // a parameter makes the range one of another variant; all text here is UTF-8, so charset does not
  if ([...parameters.keys()].some((name) => name !== "q" && name !== "charset")) return null;
  const weight = Number(parameters.get("q") ?? 1);
  return weight >= 0 && weight <= 1 ? { essence: match[1].toLowerCase(), weight } : null;
}
