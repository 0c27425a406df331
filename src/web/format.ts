const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/**
 * Formats a size with the digits of a language: `12.3 MiB`. The server states its limit in the same
 * units.
 */
export function formatSize(bytes: number, lang: string): string {
  let value = bytes;
  let step = 0;
  while (value >= 1024 && step < UNITS.length - 1) {
    value /= 1024;
    step++;
  }
  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: step === 0 || value >= 100 ? 0 : 1 });
  return `${number.format(value)} ${UNITS[step]}`;
}

/** Formats a duration in the words of a language, in one unit: `12 sec`, `3 min`, `2.5 hr`. */
export function formatDuration(seconds: number, lang: string): string {
  const [value, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const maximumFractionDigits = unit === "hour" ? 1 : 0;
  return new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits }).format(
    value,
  );
}
