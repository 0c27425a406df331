import { parseRetryAfter } from "../../../base/retry-delay.ts";
import type { StaticCredentials } from "./signer.ts";
import type { ResponseHead, S3Response } from "./transport.ts";
import { parseXml, type XmlElement } from "./xml.ts";

/** A code of fixity's own: there are no credentials to sign with. */
export const NO_CREDENTIALS = "NoCredentials";

/** A code of fixity's own: no credentials are configured, and the package that finds others is not installed. */
export const NO_CREDENTIAL_CHAIN = "NoCredentialChain";

/** What is known of a failed request. */
export interface S3Failure {
  /** S3's name for it: `PutObject`. */
  readonly operation: string;
  /** `null` without a response. */
  readonly status: number | null;
  /** The provider's code, such as `NoSuchBucket`, if any. */
  readonly code?: string | null;
  /** The provider's message, without secrets. */
  readonly detail?: string | null;
  /** The id that the provider's support asks for. */
  readonly requestId?: string | null;
  /** The region that the provider names as the right one. */
  readonly region?: string | null;
  /** Milliseconds for which the provider asks clients to wait. */
  readonly retryAfter?: number | null;
  readonly cause?: unknown;
}

/** Statuses below 500 that mean "not now" (RFC 9110, section 15.5.9, and RFC 6585, section 4). */
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 429]);

/**
 * Statuses from 500 on that are final. All others, including those of no RFC, leave open what was
 * done: behind Cloudflare's 524 or the 504 of a load balancer, the server may still be at work.
 */
const FINAL_SERVER_STATUS: ReadonlySet<number> = new Set([501, 505, 507]);

/**
 * Codes that mean "not now" with any status, 200 included ("Error responses" in the S3 API
 * reference).
 */
const TRANSIENT_CODE: ReadonlySet<string> = new Set([
  "InternalError",
  "OperationAborted",
  "ConditionalRequestConflict",
  "RequestTimeout",
  "ServiceUnavailable",
  "SlowDown",
  "ThrottlingException",
]);

/** Characters of a provider's message that are kept. */
const MAX_DETAIL_LENGTH = 300;

/**
 * A failed request to S3. Never leaves the store: store-error.ts turns it into the cause of a
 * `FixityError`. Contains no credentials and no signatures, so it may be logged as it is.
 */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly operation: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly requestId: string | null;
  readonly region: string | null;
  readonly retryAfter: number | null;

  constructor(failure: S3Failure) {
    super(messageOf(failure), failure.cause === undefined ? undefined : { cause: failure.cause });
    this.operation = failure.operation;
    this.status = failure.status;
    this.code = wordOrNull(failure.code);
    this.requestId = wordOrNull(failure.requestId);
    this.region = wordOrNull(failure.region);
    this.retryAfter = failure.retryAfter ?? null;
  }

  /**
   * Whether the same request may succeed later. It may also have been carried out, or may still be.
   */
  get isTransient(): boolean {
    if (this.code !== null && TRANSIENT_CODE.has(this.code)) return true;
    const { status } = this;
    if (status === null || status < 300 || TRANSIENT_STATUS.has(status)) return true;
    return status >= 500 && !FINAL_SERVER_STATUS.has(status);
  }

  /** Whether S3 has refused the request, so that nothing was done. */
  get isRefusal(): boolean {
    return !this.isTransient;
  }
}

/** Whether `thrown` is a failed request with one of these statuses. */
export function failedWith(thrown: unknown, ...statuses: readonly number[]): thrown is S3Error {
  return thrown instanceof S3Error && thrown.status !== null && statuses.includes(thrown.status);
}

function messageOf({ operation, status, detail, ...failure }: S3Failure): string {
  const [code, requestId] = [wordOrNull(failure.code), wordOrNull(failure.requestId)];
  const outcome = [status, code].filter((fact) => fact !== null).join(" ") || "no response";
  const explanation = detail ? `: ${singleLine(detail)}` : "";
  return `${operation} failed: ${outcome}${explanation}${requestId === null ? "" : ` (request ${requestId})`}`;
}

/** A code, id or name in the form that all providers use; anything else in its place is dropped. */
function wordOrNull(text: string | null | undefined): string | null {
  return text !== null && text !== undefined && /^[\w.:+/=-]{1,128}$/.test(text) ? text : null;
}

/** Safe to log: bounded, without line breaks and other control characters. */
function singleLine(text: string): string {
  return text.slice(0, MAX_DETAIL_LENGTH).replace(/\p{Cc}+/gu, " ");
}

/** A request that could not be signed. */
export function signingFailure(operation: string, cause: unknown): S3Error {
  const code = isMissingPackage(cause) ? NO_CREDENTIAL_CHAIN : NO_CREDENTIALS;
  return new S3Error({ operation, status: null, code, cause });
}

/** Whether the credential chain, an optional peer dependency, could not be loaded for that reason. */
function isMissingPackage(cause: unknown): boolean {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === "ERR_MODULE_NOT_FOUND" && message.includes("'@aws-sdk/credential-provider-node'");
}

/**
 * A request without a complete response.
 *
 * @param status of a response that broke off. It proves nothing, so the error has none.
 */
export function lostResponse(operation: string, status: number | null, cause: unknown): S3Error {
  if (cause instanceof S3Error) return cause;
  const detail = status === null ? null : `the response ${status} broke off`;
  return new S3Error({ operation, status: null, detail, cause });
}

/**
 * The failure that an error response reports ("Error responses" in the S3 API reference).
 *
 * @param redact removes secrets from the provider's texts
 */
export function errorResponse(operation: string, response: S3Response, redact: (text: string) => string): S3Error {
  const root = parseXml(response.text);
  const error = root?.name === "Error" ? root : null;
  const textOf = (element: string, field?: string) => {
    const text = error?.text(element) ?? (field === undefined ? null : response.header(field));
    return text === null ? null : redact(text);
  };
  return new S3Error({
    operation,
    status: response.status,
    code: textOf("Code"),
    detail: textOf("Message"),
    requestId: textOf("RequestId", "x-amz-request-id"),
    region: textOf("Region", "x-amz-bucket-region"),
    retryAfter: parseRetryAfter(response.header("retry-after")),
  });
}

/** Removes credentials and signatures from a provider's message, which may repeat the request. */
export function redactor({ accessKeyId, secretAccessKey, sessionToken }: StaticCredentials): (text: string) => string {
  const secrets = [secretAccessKey, sessionToken, accessKeyId].filter((secret) => secret !== undefined);
  return (text) => {
    let clean = text;
    for (const secret of secrets) clean = clean.replaceAll(secret, "…");
    return clean.replace(/((?:Signature|Credential|Security-Token)=)[^&\s,"'<]+/gi, "$1…");
  };
}

/**
 * How an error document begins. S3 sends white space in front of it to keep a connection open while
 * it completes an upload. The test saves parsing long listings twice.
 */
const ERROR_DOCUMENT = /^\uFEFF?\s*(?:<\?xml[^>]*>\s*)?<(?:[\w.-]+:)?Error[\s/>]/;

/**
 * Throws if a response of status 2xx contains an `<Error>`. Servers, and proxies in front of them,
 * do that for any operation.
 */
export function rejectErrorDocument(operation: string, response: S3Response): void {
  if (!ERROR_DOCUMENT.test(response.text)) return;
  const root = parseXml(response.text);
  if (root?.name !== "Error") return;
  throw new S3Error({
    operation,
    status: response.status,
    code: root.text("Code"),
    requestId: response.header("x-amz-request-id"),
  });
}

/**
 * The root element of a response of status 200, which must have this name. Completions and copies
 * may fail after the status line was sent ("CompleteMultipartUpload" in the S3 API reference). Any
 * other or incomplete document is therefore a failure that leaves open what was done.
 */
export function expectRoot(operation: string, response: S3Response, name: string): XmlElement {
  const root = parseXml(response.text);
  if (root?.name === name) return root;
  throw unexpectedResponse(operation, response, `the response is not a ${name}`);
}

/** The text of a child element, which must not be empty. */
export function expectText(operation: string, element: XmlElement, name: string): string {
  const text = element.text(name);
  if (text !== null && text !== "") return text;
  throw new S3Error({ operation, status: 200, detail: `${element.name} has no ${name}` });
}

/** The entity tag in the header section, which every response about an object has. */
export function expectTag(operation: string, response: ResponseHead): string {
  const etag = entityTag(response.header("etag"));
  if (etag !== null) return etag;
  throw unexpectedResponse(operation, response, "the response has no ETag");
}

/**
 * An entity tag in quotation marks, which Ceph omits from some responses. `null` if there is none.
 */
export function entityTag(text: string | null): string | null {
  const bare = text?.replace(/^"|"$/g, "") ?? "";
  return bare === "" ? null : `"${bare}"`;
}

function unexpectedResponse(operation: string, { status, header }: ResponseHead, detail: string): S3Error {
  return new S3Error({ operation, status, detail, requestId: header("x-amz-request-id") });
}
