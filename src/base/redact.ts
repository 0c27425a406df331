/** The hex digits of an upload's id, and those of a digest, which is no secret. */
const ID_LENGTH = 32;
const DIGEST_LENGTH = 64;
const SHOWN_LENGTH = 8;

/** Permits, signatures, credentials of requests, and malformed ids of uploads. */
const CREDENTIALS =
  /(\bfxp1\.)[\w.-]+|(\b[Ss]ignature=)[\w-]+|(\b(?:[Bb]earer|[Bb]asic) +)[\w.~+/=-]+|(\/in-progress\/[\w.~-]{8})[\w.~-]+/g;

/**
 * A text for a log: of an upload's id, which is the permission to continue an anonymous upload, the
 * first 8 digits, which suffice to find its other lines; of other credentials nothing.
 */
export function redacted(text: string): string {
  // a longer run: an id after the digits of `%2f`
  const shortened = text.replace(/[0-9A-Fa-f]{32,}/g, (digits) =>
    digits.length >= ID_LENGTH && digits.length < DIGEST_LENGTH ? `${digits.slice(0, SHOWN_LENGTH)}…` : digits,
  );
  return shortened.replace(CREDENTIALS, "$1$2$3$4…");
}
