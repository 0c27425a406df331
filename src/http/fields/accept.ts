import { MAX_MEDIA_FIELD_LENGTH, parseParameters } from "./content-type.ts";

interface MediaRange {
  /** Lower case: `text/html`, or with an asterisk for the subtype or for both. */
  readonly essence: string;
  /** From 0 to 1. */
  readonly weight: number;
}

/** One element of the list and the comma after it. Commas in quoted strings do not separate. */
const ELEMENT = /((?:[^,"]|"(?:[^"\\]|\\[^])*")*)(?:,|$)/y;

const MEDIA_RANGE = /^[ \t]*([^\s/;]+\/[^\s/;]+)/;

/**
 * The weight that an `Accept` field gives to a media type without parameters, from 0 to 1: that of
 * the most specific media range that covers it (RFC 9110, section 12.5.1). Malformed elements are
 * ignored, and so is a field that is too long.
 */
export function qualityOf(mediaType: string, accept: string): number {
  return weightOf(mediaType, parseMediaRanges(accept));
}

/**
 * Whether the client prefers a page to JSON, as a browser that submits a form does. Clients that
 * accept anything get JSON.
 */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const ranges = parseMediaRanges(accept);
  return weightOf("text/html", ranges) > weightOf("application/json", ranges);
}

/** Whether the client prefers plain text to JSON. Clients that accept anything get JSON. */
export function prefersText(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const ranges = parseMediaRanges(accept);
  return weightOf("text/plain", ranges) > weightOf("application/json", ranges);
}

/**
 * The first of `codings` that an `Accept-Encoding` field accepts (RFC 9110, section 12.5.3). `null`
 * if only the identity coding is known to be acceptable: if the field is absent or too long.
 * Malformed elements are ignored.
 *
 * @param codings lower case, in the server's order of preference
 */
export function chooseCoding<Coding extends string>(
  codings: readonly Coding[],
  field: string | undefined,
): Coding | null {
  if (field === undefined || field.length > MAX_MEDIA_FIELD_LENGTH) return null;
  const weights = new Map<string, number>();
  for (const element of field.split(",")) {
    const name = /^[ \t]*([^\s;]+)/.exec(element);
    const parameters = name === null ? null : parseParameters(element, name[0].length);
    const weight = Number(parameters?.get("q") ?? 1);
    if (name?.[1] !== undefined && parameters !== null && weight >= 0 && weight <= 1) {
      weights.set(name[1].toLowerCase(), weight);
    }
  }
  return codings.find((coding) => (weights.get(coding) ?? weights.get("*") ?? 0) > 0) ?? null;
}

function weightOf(mediaType: string, ranges: readonly MediaRange[]): number {
  const wildcard = `${mediaType.slice(0, mediaType.indexOf("/"))}/*`;
  for (const covering of [mediaType, wildcard, "*/*"]) {
    const weights = ranges.filter(({ essence }) => essence === covering).map(({ weight }) => weight);
    if (weights.length > 0) return Math.max(...weights);
  }
  return 0;
}

function parseMediaRanges(accept: string): readonly MediaRange[] {
  if (accept.length > MAX_MEDIA_FIELD_LENGTH) return [];
  const ranges: MediaRange[] = [];
  let position = 0;
  while (position < accept.length) {
    ELEMENT.lastIndex = position;
    const match = ELEMENT.exec(accept);
    // An unterminated quoted string swallows the rest of the field.
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
  // A parameter selects another variant, except for charset: all text sent here is UTF-8.
  if ([...parameters.keys()].some((name) => name !== "q" && name !== "charset")) return null;
  const weight = Number(parameters.get("q") ?? 1);
  return weight >= 0 && weight <= 1 ? { essence: match[1].toLowerCase(), weight } : null;
}
