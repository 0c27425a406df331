import { parseRetryAfter } from "../../../base/retry-delay.ts";
import { fieldOf, type WireAnswer } from "./answer-reader.ts";
import type { StaticKeys } from "../options.ts";
import { NO_CREDENTIALS, S3Error } from "./s3-error.ts";
import { parseXml } from "./xml.ts";

/**
 * The failure that an answer tells of ("Error responses" in the S3 API reference).
 *
 * @param scrub takes what is secret out of a text
 */
export function failureOf(operation: string, answer: WireAnswer, scrub: (text: string) => string): S3Error {
  const root = parseXml(answer.text);
  const error = root?.name === "Error" ? root : null;
  const said = (name: string, field?: string) => {
    const text = error?.text(name) ?? (field === undefined ? null : fieldOf(answer, field));
    return text === null ? null : scrub(text);
  };
  return new S3Error({
    operation,
    status: answer.status,
    code: said("Code"),
    detail: said("Message"),
    requestId: said("RequestId", "x-amz-request-id"),
    region: said("Region", "x-amz-bucket-region"),
    retryAfter: parseRetryAfter(fieldOf(answer, "retry-after")),
  });
}

/** A request that could not be signed. */
export function unsigned(operation: string, cause: unknown): S3Error {
  return new S3Error({ operation, status: null, code: NO_CREDENTIALS, cause });
}

/** A request whose answer, or the rest of it, never came. */
export function lostRequest(operation: string, status: number | null, cause: unknown): S3Error {
  if (cause instanceof S3Error) return cause;
  // A status without its content is not yet an answer: the request may have been carried out or not.
  return new S3Error({
    operation,
    status: null,
    detail: status === null ? null : `the answer ${status} broke off`,
    cause,
  });
}

/** Takes credentials and signatures out of what a provider says; some repeat the request. */
export function scrubber({ accessKeyId, secretAccessKey, sessionToken }: StaticKeys): (text: string) => string {
  const secrets = [secretAccessKey, sessionToken, accessKeyId].filter((secret) => secret !== undefined);
  return (text) => {
    let clean = text;
    for (const secret of secrets) clean = clean.replaceAll(secret, "…");
    return clean.replace(/((?:Signature|Credential|Security-Token)=)[^&\s,"'<]+/gi, "$1…");
  };
}
