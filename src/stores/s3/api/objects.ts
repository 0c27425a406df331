import { OCTET_STREAM } from "../../../core/media-type.ts";
import { entityTag, expectRoot, expectTag } from "./answers.ts";
import type { CallOptions, Payload, S3Answer, S3Client, S3Download, S3Request } from "./client.ts";
import { failedWith, S3Error } from "./s3-error.ts";

/** The facts of an object. */
export interface ObjectFacts {
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
  readonly etag: string | null;
}

/** The facts of an object, and the media type that it is served with. */
export interface ObjectHead extends ObjectFacts {
  readonly contentType: string;
}

/** How an object is put. */
export interface PutOptions extends Pick<S3Request, "lastAttempt" | "onRetry"> {
  readonly contentType: string;
  /** Only where there is none with this key yet; otherwise the answer is 412. */
  readonly ifAbsent: boolean;
}

/** Stores an object by one request; the payload's digest makes S3 refuse any other bytes. */
export async function putObject(client: S3Client, key: string, payload: Payload, options: PutOptions): Promise<void> {
  const { contentType, ifAbsent, ...others } = options;
  const headers = { "content-type": contentType, ...(ifAbsent && { "if-none-match": "*" }) };
  await client.call({ operation: "PutObject", method: "PUT", key, headers, body: payload, ...others }, (answer) =>
    expectTag("PutObject", answer),
  );
}

/** The facts of an object, or `null`. */
export async function headObject(client: S3Client, key: string, options: CallOptions = {}): Promise<ObjectHead | null> {
  try {
    return await client.call({ operation: "HeadObject", method: "HEAD", key, ...options }, factsOf);
  } catch (error) {
    if (failedWith(error, 404)) return null;
    throw error;
  }
}

/**
 * Opens an object for reading. `range` is as in a `Range` field, without the unit. An answer without an entity tag is no
 * object, whatever its status says (an `<Error>` under 200), and its content is not given on.
 */
export async function getObject(
  client: S3Client,
  key: string,
  range: string | null,
  signal: AbortSignal | undefined,
): Promise<S3Download> {
  const headers = range === null ? {} : { range: `bytes=${range}` };
  const request = { operation: "GetObject", method: "GET", key, headers, signal, patience: "reader" } as const;
  return client.download(request, (answer) => void expectTag(request.operation, answer));
}

/** Removes an object; that there is none is no failure. */
export async function deleteObject(client: S3Client, key: string, options: CallOptions = {}): Promise<void> {
  await client.call({ operation: "DeleteObject", method: "DELETE", key, ...options }, () => null);
}

/** Copies an object inside the bucket, its content type with it. 5 GiB at most. */
export async function copyObject(
  client: S3Client,
  from: string,
  { to, signal }: { readonly to: string; readonly signal?: AbortSignal },
): Promise<void> {
  const headers = { "x-amz-copy-source": copySource(client, from) };
  await client.call({ operation: "CopyObject", method: "PUT", key: to, headers, isLong: true, signal }, (answer) =>
    expectRoot("CopyObject", answer, "CopyObjectResult"),
  );
}

/** How the source of a copy is named: bucket and key, both of characters that need no encoding. */
export function copySource(client: S3Client, key: string): string {
  return `/${client.bucket}/${key}`;
}

function factsOf({ status, headers }: S3Answer): ObjectHead {
  const size = Number(headers("content-length") ?? Number.NaN);
  const modified = new Date(headers("last-modified") ?? Number.NaN);
  if (Number.isSafeInteger(size) && !Number.isNaN(modified.getTime())) {
    return { size, modified, etag: entityTag(headers("etag")), contentType: headers("content-type") ?? OCTET_STREAM };
  }
  throw new S3Error({
    operation: "HeadObject",
    status,
    detail: "the answer has no Content-Length or no Last-Modified",
  });
}
