import { FixityClientError } from "./errors.ts";
import { base64OfHex } from "./formats.ts";
import { digestIn } from "./links.ts";
import type { WireAnswer } from "./platform.ts";
import { objectIn } from "./answers.ts";
import type { UploadResult } from "./types.ts";

/** What the server says of a stored file. */
export type Receipt = Omit<UploadResult, "sent">;

/** What the file is known to be. */
export interface Expected {
  /** In hex, or `null` where it was not computed. */
  readonly digest: string | null;
  readonly size: number | null;
}

/**
 * Reads the answer that a stored file is told by.
 *
 * @throws FixityClientError `digest-mismatch` where another file was stored than was sent, `unexpected-answer`
 */
export function receiptIn({ status, text }: WireAnswer, endpoint: string, expected: Expected): Receipt {
  const { url, digest, size, type, name, integrity } = objectIn(text) ?? {};
  if (
    typeof url !== "string" ||
    typeof digest !== "string" ||
    typeof size !== "number" ||
    typeof type !== "string" ||
    typeof integrity !== "string"
  ) {
    throw notOurs(status);
  }
  if ((expected.digest !== null && digest !== `sha256:${expected.digest}`) || size !== (expected.size ?? size)) {
    throw new FixityClientError("digest-mismatch", "What was stored is not what was sent.", {
      status,
      retryable: true,
    });
  }
  const hex = digest.slice("sha256:".length);
  if (digest !== `sha256:${hex}` || !Number.isSafeInteger(size) || size < 0) throw notOurs(status);
  return {
    url: linkIn(url, endpoint, { hex, status }),
    digest,
    size,
    type,
    name: typeof name === "string" ? name : null,
    integrity: `sha256-${base64OfHex(hex)}`,
    existed: status === 200,
  };
}

/**
 * The link of a receipt, absolute. It may be at another origin, which `UPLOAD_PUBLIC_URL` names. It is printed, copied and
 * put into pages, so it must be a link to what the receipt is of, and nothing else.
 *
 * @throws FixityClientError `unexpected-answer`
 */
function linkIn(
  url: string,
  endpoint: string,
  { hex, status }: { readonly hex: string; readonly status: number },
): string {
  const link = URL.parse(url, endpoint);
  const isBare = link !== null && `${link.username}${link.password}${link.search}${link.hash}` === "";
  if (isBare && /^https?:$/.test(link.protocol) && digestIn(link) === hex) return link.href;
  throw notOurs(status);
}

function notOurs(status: number): FixityClientError {
  return new FixityClientError("unexpected-answer", "The answer to the upload is not one of fixity.", { status });
}
