import { FixityError } from "../../core/errors.ts";

/** Options of `cachedStore`. */
export interface CacheOptions {
  /** Bytes of memory for all cached blobs, with what surrounds them. @default 64 MiB */
  readonly budget?: number;
  /**
   * Milliseconds for which a cached blob is taken to exist before the store is asked again. It is
   * how long a removal by another instance may go unnoticed.
   *
   * @default 10,000
   */
  readonly maxAgeMs?: number;
}

/** All options, with their defaults. */
export interface ResolvedCacheOptions extends Required<CacheOptions> {
  /** The clock, in milliseconds; replaced by tests. */
  readonly now: () => number;
}

/** @throws FixityError `invalid-option` */
export function resolveCacheOptions({
  budget = 64 * 1024 ** 2,
  maxAgeMs = 10_000,
}: CacheOptions): ResolvedCacheOptions {
  if (!Number.isSafeInteger(budget) || budget <= 0) {
    throw new FixityError("invalid-option", `budget is ${budget}; it must be a number of bytes, at least 1.`);
  }
  if (!(maxAgeMs >= 0 && maxAgeMs < Infinity)) {
    throw new FixityError("invalid-option", `maxAgeMs is ${maxAgeMs}; it must be a number of milliseconds.`);
  }
  return { budget, maxAgeMs, now: () => performance.now() };
}
