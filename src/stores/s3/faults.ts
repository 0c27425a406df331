import { type ErrorCode, FixityError } from "../../core/errors.ts";
import { NO_CREDENTIALS, S3Error } from "./api/s3-error.ts";

/** A code of our own: the server copies no parts, and the object is too large to be copied whole. */
export const TOO_LARGE_TO_COPY = "TooLargeToCopy";

type Meaning = readonly [code: ErrorCode, message: string];

const NO_ACCESS: Meaning = ["store-misconfigured", "The store may not be used: its keys or a permission are wrong."];

const ELSEWHERE: Meaning = ["store-misconfigured", "The store's bucket is somewhere else."];

/** What a provider's code means for the person who made the request. What to do about it says `check` (check.ts). */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  [NO_CREDENTIALS]: ["store-misconfigured", "The store has no keys to sign its requests with."],
  AccessDenied: NO_ACCESS,
  AuthorizationHeaderMalformed: NO_ACCESS,
  ExpiredToken: NO_ACCESS,
  InvalidAccessKeyId: NO_ACCESS,
  InvalidToken: NO_ACCESS,
  SignatureDoesNotMatch: NO_ACCESS,
  NoSuchBucket: ["store-misconfigured", "The store's bucket does not exist."],
  PermanentRedirect: ELSEWHERE,
  RequestTimeTooSkewed: ["store-misconfigured", "The store's clock and this machine's are too far apart."],
  QuotaExceeded: ["store-full", "No room is left in the store."],
  XMinioStorageFull: ["store-full", "No room is left in the store."],
  [TOO_LARGE_TO_COPY]: [
    "size-limit-exceeded",
    "This store takes files of more than 5 GiB only where their digest is announced.",
  ],
  SlowDown: ["store-busy", "The store has more to do than it can. Try again soon."],
};

/**
 * What to throw where `thrown` was caught: a failed request becomes a `FixityError`, everything else (a `FixityError`, the
 * reason of an aborted signal) stays what it is.
 */
export function storeFault(thrown: unknown): unknown {
  if (!(thrown instanceof S3Error)) return thrown;
  const [code, message] = MEANINGS[thrown.code ?? ""] ?? byStatus(thrown.status);
  return new FixityError(code, message, { cause: thrown });
}

/** For answers without a code, such as those to a HEAD. */
function byStatus(status: number | null): Meaning {
  if (status === 401 || status === 403) return NO_ACCESS;
  if (status === 301) return ELSEWHERE;
  if (status === 507) return ["store-full", "No room is left in the store."];
  return ["store-unavailable", "The store does not answer as it should. Try again soon."];
}

/** Failed requests leave the store as `FixityError`s. */
export async function faultsTold<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeFault(error);
  }
}
