import type { Language } from "./text/language.ts";

/** What a format depends on. */
type Format = Pick<Language, "texts" | "locale" | "direction">;

/**
 * Formats a size in the units of `base/format-size.ts`, which the server uses, with the digits and
 * units of a language: `6 bytes`, `12.3 MiB`.
 */
export function formatSize(bytes: number, { texts, locale, direction }: Format): string {
  const units = texts.units.split(" ");
  let value = bytes;
  let step = 0;
  while (value >= 1024 && step < units.length) {
    value /= 1024;
    step++;
  }
  const unit = units[step - 1];
  if (unit === undefined) return unitFormat(locale, { unit: "byte", unitDisplay: "long" }).format(value);
  const text = `${unitFormat(locale, { maximumFractionDigits: 1 }).format(value)} ${unit}`;
  // isolated, because from right to left the unit would stand before its number
  return direction === "rtl" ? `\u2066${text}\u2069` : text;
}

/** Formats a duration in the words of a language, in one unit: `12 sec`, `3 min`, `2.5 hr`. */
export function formatDuration(seconds: number, { locale }: Pick<Format, "locale">): string {
  const [value, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const maximumFractionDigits = unit === "hour" ? 1 : 0;
  return unitFormat(locale, { unit, unitDisplay: "short", maximumFractionDigits }).format(value);
}

/** Formats by language and options: to make one takes longer than to use it hundreds of times. */
const formats = new Map<string, Intl.NumberFormat>();

function unitFormat(locale: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = JSON.stringify([locale, options]);
  const known = formats.get(key);
  if (known !== undefined) return known;
  const format = new Intl.NumberFormat(locale, { ...options, ...(options.unit !== undefined && { style: "unit" }) });
  formats.set(key, format);
  return format;
}
