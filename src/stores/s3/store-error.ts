import { type ErrorCode, FixityError } from "../../core/errors.ts";
import type { S3Client } from "./api/client.ts";
import { expectRoot, NO_CREDENTIAL_CHAIN, NO_CREDENTIALS, S3Error } from "./api/s3-error.ts";

/**
 * A code of fixity's own: the server copies no parts, and the object is too large to be copied
 * whole.
 */
export const TOO_LARGE_TO_COPY = "TooLargeToCopy";

/**
 * What a failed request means to the caller of the store, and to the operator who set the store up.
 */
interface Explanation {
  readonly code: ErrorCode;
  /** Names no bucket and no address: clients read it. */
  readonly message: string;
  /**
   * What is wrong and what to do, with names; `null` if only the address that failed is worth
   * stating.
   */
  readonly advice: ((error: S3Error, client: S3Client) => string) | null;
}

const FORBIDDEN_MESSAGE = "The store's credentials or their permissions are wrong.";
const OTHER_REGION_MESSAGE = "The store's bucket is in another place.";
const FULL_MESSAGE = "No room is left in the store.";

function misconfigured(message: string, advice: (error: S3Error, client: S3Client) => string): Explanation {
  return { code: "store-misconfigured", message, advice };
}

/** By the provider's code. */
const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  [NO_CREDENTIALS]: misconfigured(
    "The store has no credentials to sign its requests with.",
    () => "No credentials for S3 are configured, and AWS's credential chain has none either.",
  ),
  [NO_CREDENTIAL_CHAIN]: misconfigured(
    "The store has no credentials to sign its requests with.",
    () =>
      "No credentials for S3 are configured, and the package that finds AWS's own is not installed. Set " +
      "UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY (in code: accessKey and secretKey), or run: " +
      "npm install @aws-sdk/credential-provider-node",
  ),
  AccessDenied: misconfigured(
    FORBIDDEN_MESSAGE,
    (_, { bucket }) => `The credentials are valid, but may not list the bucket ${bucket}: grant them s3:ListBucket.`,
  ),
  AuthorizationHeaderMalformed: misconfigured(
    FORBIDDEN_MESSAGE,
    (error) => `The region is wrong${rightRegion(error)}.`,
  ),
  ExpiredToken: misconfigured(FORBIDDEN_MESSAGE, () => "The temporary credentials for S3 have expired."),
  InvalidAccessKeyId: misconfigured(
    FORBIDDEN_MESSAGE,
    (_, client) => `The access key is unknown at ${addressOf(client)}.`,
  ),
  InvalidToken: misconfigured(FORBIDDEN_MESSAGE, () => "The session token of the temporary credentials is wrong."),
  SignatureDoesNotMatch: misconfigured(FORBIDDEN_MESSAGE, () => "The secret key does not match the access key."),
  NoSuchBucket: misconfigured(
    "The store's bucket does not exist.",
    (_, client) => `There is no bucket ${client.bucket} at ${addressOf(client)}.`,
  ),
  PermanentRedirect: misconfigured(
    OTHER_REGION_MESSAGE,
    (error, { bucket }) => `The bucket ${bucket} is in another region${rightRegion(error)}.`,
  ),
  RequestTimeTooSkewed: misconfigured(
    "The store's clock and this machine's differ too much.",
    (_, client) => `The clocks of this machine and of ${addressOf(client)} differ by more than 15 minutes.`,
  ),
  QuotaExceeded: { code: "store-full", message: FULL_MESSAGE, advice: null },
  XMinioStorageFull: { code: "store-full", message: FULL_MESSAGE, advice: null },
  SlowDown: { code: "store-busy", message: "The store is overloaded. Try again soon.", advice: null },
  [TOO_LARGE_TO_COPY]: {
    code: "size-limit-exceeded",
    message: "This store accepts files of more than 5 GiB only if their digest is announced.",
    advice: null,
  },
};

/** For responses without a code, such as those to a HEAD. */
function explanationByStatus(status: number | null): Pick<Explanation, "code" | "message"> {
  if (status === 401 || status === 403) return { code: "store-misconfigured", message: FORBIDDEN_MESSAGE };
  if (status === 301) return { code: "store-misconfigured", message: OTHER_REGION_MESSAGE };
  if (status === 507) return { code: "store-full", message: FULL_MESSAGE };
  return { code: "store-unavailable", message: "The store is not working properly. Try again soon." };
}

/**
 * The error to throw for `thrown`: a failed request becomes a `FixityError`; anything else is kept.
 */
export function toFixityError(thrown: unknown): unknown {
  if (!(thrown instanceof S3Error)) return thrown;
  const { code, message } = EXPLANATIONS[thrown.code ?? ""] ?? explanationByStatus(thrown.status);
  return new FixityError(code, message, { cause: thrown });
}

/** Runs `work`; failed requests leave it as `FixityError`s. */
export async function withStoreErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toFixityError(error);
  }
}

/**
 * Finds out with one small request whether the bucket can be reached and the credentials are
 * accepted.
 *
 * @throws FixityError `store-misconfigured` or `store-unavailable`, with one line for the operator
 */
export async function checkBucket(client: S3Client, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  const operation = "ListObjectsV2";
  const query = { "list-type": "2", "max-keys": "1", prefix };
  const request = { operation, method: "GET", key: null, query, signal, retryPolicy: "check" } as const;
  try {
    await client.call(request, (response) => expectRoot(operation, response, "ListBucketResult"));
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    const advice = EXPLANATIONS[error.code ?? ""]?.advice?.(error, client) ?? adviceByStatus(error, client);
    const code = advice === null ? "store-unavailable" : "store-misconfigured";
    throw new FixityError(code, advice ?? connectionTrouble(error, client.endpoint.host), { cause: error });
  }
}

/** `null` if the failure may pass. */
function adviceByStatus(error: S3Error, client: S3Client): string | null {
  const { status, code, isTransient } = error;
  const address = addressOf(client);
  if (status === 403 || status === 401) return `The credentials are not accepted at ${address}.`;
  if (status === 301 || status === 307) return `The bucket is in another region${rightRegion(error)}.`;
  if (status === null || (isTransient && (status >= 300 || code !== null))) return null;
  if (code !== null) return `The bucket cannot be listed: ${address} responds with ${code}.`;
  return `The server at ${address} does not speak S3.`;
}

/** By the codes of Node and undici, a few causes deep. */
const CONNECTION_TROUBLE: Readonly<Record<string, (host: string) => string>> = {
  ECONNREFUSED: (host) => `Nothing listens at ${host}.`,
  ENOTFOUND: (host) => `There is no host ${host}.`,
  EAI_AGAIN: (host) => `The host name ${host} cannot be looked up at the moment.`,
  UND_ERR_CONNECT_TIMEOUT: (host) => `The connection to ${host} timed out.`,
  UND_ERR_HEADERS_TIMEOUT: (host) => `${host} does not respond.`,
};

/** @param host that was tried: in virtual-host style, it begins with the bucket */
function connectionTrouble(error: S3Error, host: string): string {
  let cause: unknown = error.cause;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth += 1) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
    const trouble = CONNECTION_TROUBLE[code];
    if (trouble !== undefined) return trouble(host);
    if (/^EPROTO$|^ERR_SSL_/.test(code)) {
      return `${host} does not speak TLS (${code}): should its address begin with http://?`;
    }
    if (/CERT|TLS|VERIFY|INVALID_CA/.test(code)) return `The certificate of ${host} is not accepted (${code}).`;
    cause = cause.cause;
  }
  return error.status === null ? `${host} cannot be reached.` : `${host} is not working properly at the moment.`;
}

function rightRegion({ region }: S3Error): string {
  return region === null ? "" : `: it is ${region}`;
}

function addressOf({ endpoint }: S3Client): string {
  return endpoint.address;
}
