import { FixityError } from "../../core/errors.ts";
import type { S3Client } from "./api/client.ts";
import { NO_CREDENTIALS, S3Error } from "./api/s3-error.ts";
import { expectRoot } from "./api/answers.ts";

/**
 * Finds out with one small request whether the bucket can be reached and the keys are accepted, and says in one line what
 * is wrong.
 *
 * @throws FixityError `store-misconfigured` or `store-unavailable`, for the person who set the store up
 */
export async function checkBucket(client: S3Client, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  const operation = "ListObjectsV2";
  const query = { "list-type": "2", "max-keys": "1", prefix };
  try {
    await client.call({ operation, method: "GET", key: null, query, signal, patience: "quick" }, (answer) =>
      expectRoot(operation, answer, "ListBucketResult"),
    );
  } catch (error) {
    throw error instanceof S3Error ? explain(error, client) : error;
  }
}

function explain(error: S3Error, { bucket, endpoint: { place, host } }: S3Client): FixityError {
  const explanations: Readonly<Record<string, string>> = {
    [NO_CREDENTIALS]: "No keys for S3 were given, and AWS's credential chain has none either.",
    AccessDenied: `The keys are known, but may not list the bucket ${bucket}: give them s3:ListBucket.`,
    AuthorizationHeaderMalformed: `The region is wrong${rightRegion(error)}.`,
    ExpiredToken: "The temporary keys for S3 have run out.",
    InvalidAccessKeyId: `The access key is not known at ${place}.`,
    InvalidToken: "The session token of the temporary keys is wrong.",
    NoSuchBucket: `There is no bucket ${bucket} at ${place}.`,
    PermanentRedirect: `The bucket ${bucket} is in another region${rightRegion(error)}.`,
    RequestTimeTooSkewed: `The clocks of this machine and of ${place} are more than 15 minutes apart.`,
    SignatureDoesNotMatch: "The secret key does not belong to the access key.",
  };
  const explanation = explanations[error.code ?? ""] ?? explainStatus(error, place);
  const code = explanation === null ? "store-unavailable" : "store-misconfigured";
  return new FixityError(code, explanation ?? explainSilence(error, host), { cause: error });
}

function explainStatus(error: S3Error, place: string): string | null {
  const { status, code, isTransient } = error;
  if (status === 403 || status === 401) return `The keys are not accepted at ${place}.`;
  if (status === 301 || status === 307) return `The bucket is in another region${rightRegion(error)}.`;
  if (status === null || (isTransient && (status >= 300 || code !== null))) return null;
  if (code !== null) return `The bucket cannot be listed at ${place}, which says ${code}.`;
  return `What answers at ${place} does not speak S3.`;
}

/** By the codes of Node's own errors, which lie a few causes deep. */
const SILENCE: Readonly<Record<string, (place: string) => string>> = {
  ECONNREFUSED: (place) => `Nothing listens at ${place}.`,
  ENOTFOUND: (place) => `There is no host ${place}.`,
  EAI_AGAIN: (place) => `The name of ${place} cannot be looked up now.`,
  UND_ERR_CONNECT_TIMEOUT: (place) => `No connection to ${place} comes about.`,
  UND_ERR_HEADERS_TIMEOUT: (place) => `${place} does not answer.`,
};

/** @param place the host that was tried, which begins with the bucket in virtual-host style */
function explainSilence(error: S3Error, place: string): string {
  let cause: unknown = error.cause;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth += 1) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
    const explanation = SILENCE[code];
    if (explanation !== undefined) return explanation(place);
    if (/^EPROTO$|^ERR_SSL_/.test(code))
      return `${place} does not speak TLS (${code}): is its address one with http://?`;
    if (/CERT|TLS|VERIFY|INVALID_CA/.test(code)) return `The certificate of ${place} is not accepted (${code}).`;
    cause = cause.cause;
  }
  return error.status === null ? `${place} cannot be reached.` : `${place} does not answer as it should now.`;
}

function rightRegion({ region }: S3Error): string {
  return region === null ? "" : `: it is ${region}`;
}
