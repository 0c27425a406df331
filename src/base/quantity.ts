const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Bytes of a size such as `5GiB`, `10 MB` or `4096`; `null` for any other text and above 2^53. */
export function parseSize(text: string): number | null {
  return parseQuantity(text, BYTES_PER_UNIT);
}

/**
 * Milliseconds of a duration such as `500ms`, `60s`, `5m`, `24h` or `7d`; `null` for any other
 * text. `0` needs no unit.
 */
export function parseDuration(text: string): number | null {
  return text.trim() === "0" ? 0 : parseQuantity(text, MS_PER_UNIT);
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match?.[2]?.toLowerCase() ?? "";
  if (match === null || !Object.hasOwn(units, unit)) return null;
  const value = Math.round(Number(match[1]) * (units[unit] ?? Number.NaN));
  return Number.isSafeInteger(value) ? value : null;
}
