import { FixityError } from "../../core/errors.ts";

/** From when to when a presigned URL holds. In S3 it is a date of whole seconds, and a number of seconds from it on. */
export interface Validity {
  readonly from: Date;
  readonly seconds: number;
  readonly until: Date;
}

/** Seconds that a presigned URL may hold ("Authenticating Requests: Using Query Parameters" in the S3 API reference). */
const LONGEST = 7 * 24 * 3600;

/**
 * How long a URL made now holds: `lifetime` seconds at most, and no longer than the keys. It begins at the last multiple of
 * half the lifetime, so that all URLs of one object made in that time, by any instance with the same keys, are the same
 * text: browsers and caches, which know an object by its URL, then know it again. At least half the lifetime is left.
 *
 * @param keysEnd when the keys end, where they do
 * @throws FixityError `invalid-option`
 */
export function validityOf(lifetime: number, keysEnd?: Date): Validity {
  if (!Number.isSafeInteger(lifetime) || lifetime < 1 || lifetime > LONGEST) {
    throw new FixityError("invalid-option", `lifetime must be a whole number of seconds, between 1 and ${LONGEST}.`);
  }
  const step = Math.max(1, Math.floor(lifetime / 2));
  const now = Date.now() / 1000;
  const from = Math.floor(now / step) * step;
  const until = Math.min(from + lifetime, keysEnd === undefined ? Infinity : Math.floor(keysEnd.getTime() / 1000));
  if (until <= now) throw new FixityError("store-misconfigured", "The store's keys have ended.");
  return { from: new Date(from * 1000), seconds: until - from, until: new Date(until * 1000) };
}
