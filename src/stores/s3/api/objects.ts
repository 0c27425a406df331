import type { CallOptions, S3Client, S3Request } from "./client.ts";
import { entityTag, expectRoot, expectTag, failedWith, S3Error } from "./s3-error.ts";
import { type Payload, sha256Hex } from "./signer.ts";
import type { ResponseHead, S3Download, S3Response } from "./transport.ts";

const OCTET_STREAM = "application/octet-stream";

/** What listings and HeadObject report about an object. */
export interface ObjectMetadata {
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
  readonly etag: string | null;
}

/** What HeadObject reports. */
export interface ObjectHead extends ObjectMetadata {
  readonly contentType: string;
  /** See {@link objectIdentity}. */
  readonly identity: string | null;
}

const MAX_IDENTITY_LENGTH = 200;

/**
 * What tells one copy of an object from another: the version id in a bucket with versioning, and
 * otherwise entity tag and time, since the same bytes have the same tag. Whole seconds are the
 * resolution of that time. At most 200 characters. `null` if the response has neither.
 */
export function objectIdentity({ header }: ResponseHead): string | null {
  const version = header("x-amz-version-id");
  const etag = entityTag(header("etag"));
  // A bucket whose versioning is suspended gives every new copy the version "null".
  const isVersioned = version !== null && version !== "" && version !== "null";
  if (!isVersioned && etag === null) return null;
  const identity = isVersioned ? `version ${version}` : `${etag} ${header("last-modified") ?? ""}`;
  return identity.length <= MAX_IDENTITY_LENGTH ? identity : sha256Hex([Buffer.from(identity)]);
}

/** How an object is stored. */
export interface PutOptions extends Pick<S3Request, "retrySignal" | "onRetry"> {
  readonly contentType: string;
  /** Sends `If-None-Match: *`: the response is 412 if the key has an object. */
  readonly ifAbsent: boolean;
}

/** Stores an object with one request. S3 refuses bytes that do not have the payload's digest. */
export async function putObject(client: S3Client, key: string, payload: Payload, options: PutOptions): Promise<void> {
  const { contentType, ifAbsent, ...others } = options;
  const headers = { "content-type": contentType, ...(ifAbsent && { "if-none-match": "*" }) };
  await client.call({ operation: "PutObject", method: "PUT", key, headers, body: payload, ...others }, (response) =>
    expectTag("PutObject", response),
  );
}

/**
 * Whether two reports are of one copy of an object, as far as that can be seen: where the bucket
 * keeps no versions, another copy of the same bytes within a second looks the same.
 */
export function isSameCopy(one: ObjectHead, other: ObjectHead): boolean {
  return one.size === other.size && one.identity === other.identity;
}

/** Returns `null` if there is no object. */
export async function headObject(client: S3Client, key: string, options: CallOptions = {}): Promise<ObjectHead | null> {
  try {
    return await client.call({ operation: "HeadObject", method: "HEAD", key, ...options }, readHead);
  } catch (error) {
    if (failedWith(error, 404)) return null;
    throw error;
  }
}

/**
 * Opens an object for reading. A response without an entity tag is not an object, whatever its
 * status (an `<Error>` with status 200), and counts as a failure.
 *
 * @param range as in a `Range` field, without the unit
 */
export async function getObject(
  client: S3Client,
  key: string,
  range: string | null,
  signal: AbortSignal | undefined,
): Promise<S3Download> {
  const headers = range === null ? {} : { range: `bytes=${range}` };
  const request = { operation: "GetObject", method: "GET", key, headers, signal, retryPolicy: "short" } as const;
  return client.download(request, (download) => void expectTag(request.operation, download));
}

/** Removes an object. Succeeds if there is none. */
export async function deleteObject(client: S3Client, key: string, options: CallOptions = {}): Promise<void> {
  await client.call({ operation: "DeleteObject", method: "DELETE", key, ...options }, () => null);
}

/** An object that the server copies. */
export interface CopySource {
  /** In characters that need no encoding, or percent-encoded. */
  readonly key: string;
  /** @default the client's own */
  readonly bucket?: string;
  /**
   * The copy fails with 412 if the object has another entity tag. Some servers ignore it.
   *
   * @default any
   */
  readonly ifMatch?: string;
}

/** Where an object is copied to. */
export interface CopyTarget {
  readonly to: string;
  /** Replaces all metadata of the source. @default they are copied */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

/** Copies an object. At most 5 GiB. */
export async function copyObject(
  client: S3Client,
  from: CopySource,
  { to, contentType, signal }: CopyTarget,
): Promise<void> {
  const operation = "CopyObject";
  const headers = {
    ...copySourceFields(client, from),
    ...(contentType !== undefined && { "x-amz-metadata-directive": "REPLACE", "content-type": contentType }),
  };
  await client.call({ operation, method: "PUT", key: to, headers, isLongRunning: true, signal }, (response) =>
    expectRoot(operation, response, "CopyObjectResult"),
  );
}

/** The header fields that name what is copied. */
export function copySourceFields(
  client: S3Client,
  { key, bucket = client.bucket, ifMatch }: CopySource,
): Readonly<Record<string, string>> {
  return {
    "x-amz-copy-source": `/${bucket}/${key}`,
    ...(ifMatch !== undefined && { "x-amz-copy-source-if-match": ifMatch }),
  };
}

function readHead(response: S3Response): ObjectHead {
  const { status, header } = response;
  const size = Number(header("content-length") ?? Number.NaN);
  const modified = new Date(header("last-modified") ?? Number.NaN);
  if (Number.isSafeInteger(size) && !Number.isNaN(modified.getTime())) {
    const contentType = header("content-type") ?? OCTET_STREAM;
    return { size, modified, contentType, etag: entityTag(header("etag")), identity: objectIdentity(response) };
  }
  throw new S3Error({
    operation: "HeadObject",
    status,
    detail: "the response has no Content-Length or no Last-Modified",
  });
}
