import { FixityClientError } from "./errors.ts";
import type { WireAnswer } from "./platform.ts";
import { objectIn } from "./problem.ts";
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
    throw new FixityClientError("unexpected-answer", "The answer to the upload is not one of fixity.", { status });
  }
  if ((expected.digest !== null && digest !== `sha256:${expected.digest}`) || size !== (expected.size ?? size)) {
    throw new FixityClientError("digest-mismatch", "What was stored is not what was sent.", {
      status,
      retryable: true,
    });
  }
  const link = new URL(url, endpoint).href;
  return {
    url: link,
    digest,
    size,
    type,
    name: typeof name === "string" ? name : null,
    integrity,
    existed: status === 200,
  };
}
