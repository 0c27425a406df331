import { parseItem } from "structured-headers";
import type { Fields } from "../exchange.ts";

/**
 * A non-negative Integer in a field of the resumable upload protocol (`Upload-Offset`, `Upload-Length`). `null` where the
 * field is missing, and for anything else: "Other values MUST cause the entire header field to be ignored."
 */
export function integerIn(fields: Fields, name: string): number | null {
  const value = itemIn(fields, name);
  // The parser reads a Decimal such as 5.0 as the same number, but it is another type. Only the item itself is looked at:
  // its parameters may hold any type, and unknown ones are ignored (RFC 9651, sections 3.3 and 3.3.2).
  const isInteger = /^ *-?\d+(?:[ ;]|$)/.test(fields.get(name) ?? "");
  return isInteger && typeof value === "number" && value >= 0 ? value : null;
}

/** A Boolean in such a field (`Upload-Complete`): `?1` or `?0`. `null` for everything else. */
export function booleanIn(fields: Fields, name: string): boolean | null {
  const value = itemIn(fields, name);
  return typeof value === "boolean" ? value : null;
}

/** `?1` or `?0`. */
export function formatBoolean(value: boolean): string {
  return value ? "?1" : "?0";
}

/** Largest Integer of a structured field (RFC 9651, section 3.3.1). */
const MAX_INTEGER = 999_999_999_999_999;

/** An `Upload-Limit`: limits by their keys, in bytes and seconds. Those that cannot be reached are left out. */
export function formatLimits(limits: Readonly<Record<string, number>>): string {
  const given = Object.entries(limits).filter(([, value]) => value <= MAX_INTEGER);
  // "If the server does not apply any limits, it MUST use min-size=0 instead of an empty header value."
  return given.length === 0 ? "min-size=0" : given.map(([key, value]) => `${key}=${value}`).join(", ");
}

function itemIn(fields: Fields, name: string): unknown {
  const text = fields.get(name);
  if (text === undefined) return null;
  try {
    return parseItem(text)[0];
  } catch {
    return null;
  }
}
