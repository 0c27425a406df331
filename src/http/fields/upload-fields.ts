import { parseItem } from "structured-headers";

/**
 * A non-negative Integer in a field of the resumable upload protocol (`Upload-Offset`,
 * `Upload-Length`). `null` if the field is absent or anything else: "Other values MUST cause the
 * entire header field to be ignored."
 */
export function parseIntegerField(text: string | undefined): number | null {
  const value = parseItemField(text);
  // The parser returns the same number for a Decimal such as 5.0, which is another type. The
  // expression looks at the item only: parameters may have any type, and unknown ones are ignored
  // (RFC 9651, sections 3.3 and 3.3.2).
  const isInteger = /^ *-?\d+(?:[ ;]|$)/.test(text ?? "");
  return isInteger && typeof value === "number" && value >= 0 ? value : null;
}

/** A Boolean in such a field (`Upload-Complete`): `?1` or `?0`. `null` for anything else. */
export function parseBooleanField(text: string | undefined): boolean | null {
  const value = parseItemField(text);
  return typeof value === "boolean" ? value : null;
}

/** `?1` or `?0`. */
export function formatBoolean(value: boolean): string {
  return value ? "?1" : "?0";
}

/** The largest Integer of a structured field (RFC 9651, section 3.3.1). */
const MAX_INTEGER = 999_999_999_999_999;

/**
 * The value of `Upload-Limit`: limits by their keys, in bytes and seconds. Limits that a field
 * cannot express are left out.
 */
export function formatLimits(limits: Readonly<Record<string, number>>): string {
  const given = Object.entries(limits).filter(([, value]) => value <= MAX_INTEGER);
  // "If the server does not apply any limits, it MUST use min-size=0 instead of an empty header
  // value."
  return given.length === 0 ? "min-size=0" : given.map(([key, value]) => `${key}=${value}`).join(", ");
}

function parseItemField(text: string | undefined): unknown {
  if (text === undefined) return null;
  try {
    return parseItem(text)[0];
  } catch {
    return null;
  }
}
