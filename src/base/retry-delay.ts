/** The bounds of a backoff, in milliseconds. */
export interface BackoffLimits {
  /** The longest first delay; the limit doubles with each failure. */
  readonly firstMs: number;
  /** The longest delay of all. */
  readonly maxMs: number;
}

/**
 * Milliseconds to wait after `failures` failures in a row: exponential backoff with full jitter
 * ("Exponential Backoff And Jitter", AWS Architecture Blog), so that callers that failed together
 * do not come back together.
 */
export function retryDelay(failures: number, { firstMs, maxMs }: BackoffLimits): number {
  return Math.random() * Math.min(maxMs, firstMs * 2 ** (failures - 1));
}

/**
 * `Retry-After` (RFC 9110, section 10.2.3: seconds, or a date) in milliseconds from `now`; `null`
 * for anything else.
 */
export function parseRetryAfter(value: string | null, now: number = Date.now()): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  // Date.parse reads almost anything as a date; a date has letters.
  const date = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
