import { escapeMarkup } from "../../../base/escape-markup.ts";
import type { CallOptions, S3Client } from "./client.ts";
import { type CopySource, copySourceFields } from "./objects.ts";
import { entityTag, expectRoot, expectTag, expectText, failedWith, S3Error } from "./s3-error.ts";
import { type Payload, payloadOf } from "./signer.ts";

const MIB = 1024 * 1024;

/** The smallest part that others may follow ("Amazon S3 multipart upload limits"). */
export const MIN_PART_BYTES: number = 5 * MIB;

/** The largest part. */
export const MAX_PART_BYTES: number = 5 * 1024 * MIB;

/** The most parts of a multipart upload. */
export const MAX_PARTS = 10_000;

/** Identifies a multipart upload. */
export interface MultipartId {
  readonly key: string;
  readonly uploadId: string;
}

/** A part that S3 has stored. */
export interface Part {
  /** From 1 on. */
  readonly number: number;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

/** Begins a multipart upload. Nothing of it can be read before its completion. */
export async function createMultipartUpload(
  client: S3Client,
  key: string,
  { contentType, retrySignal }: Pick<CallOptions, "retrySignal"> & { readonly contentType: string },
): Promise<MultipartId> {
  const operation = "CreateMultipartUpload";
  const headers = { "content-type": contentType };
  // A retry after a lost response begins a second multipart upload. The collector removes the first
  // one, whose id is unknown.
  const request = { operation, method: "POST", key, query: { uploads: "" }, headers, retrySignal };
  return client.call(request, (response) => {
    const root = expectRoot(operation, response, "InitiateMultipartUploadResult");
    return { key, uploadId: expectText(operation, root, "UploadId") };
  });
}

/**
 * Stores one part; it replaces an earlier part of that number. An aborted signal prevents retries
 * but cancels nothing: a part that arrives after its multipart upload was aborted may be kept for
 * ever.
 */
export async function uploadPart(
  client: S3Client,
  upload: MultipartId,
  number: number,
  { payload, signal }: { readonly payload: Payload; readonly signal: AbortSignal },
): Promise<Part> {
  const operation = "UploadPart";
  const query = partQuery(upload, number);
  return client.call(
    { operation, method: "PUT", key: upload.key, query, body: payload, retrySignal: signal },
    (response) => ({ number, etag: expectTag(operation, response), size: payload.length }),
  );
}

/** A range of an object that the server copies: bytes `first` to `last`, inclusive. */
export interface CopiedRange {
  readonly from: CopySource;
  readonly first: number;
  readonly last: number;
  /** Once it is aborted, no further attempt is made. */
  readonly signal: AbortSignal;
}

/** Makes one part of a range of an object. */
export async function uploadPartCopy(
  client: S3Client,
  upload: MultipartId,
  number: number,
  { from, first, last, signal }: CopiedRange,
): Promise<Part> {
  const operation = "UploadPartCopy";
  const headers = {
    ...copySourceFields(client, from),
    "x-amz-copy-source-range": `bytes=${first}-${last}`,
  };
  const query = partQuery(upload, number);
  const request = {
    operation,
    method: "PUT",
    key: upload.key,
    query,
    headers,
    isLongRunning: true,
    retrySignal: signal,
  };
  return client.call(request, (response) => {
    // A server that ignores x-amz-copy-source reads this as an empty UploadPart, and reports
    // success.
    if (response.text === "" && response.header("etag") !== null) throw new S3Error({ operation, status: 501 });
    const root = expectRoot(operation, response, "CopyPartResult");
    const etag = entityTag(expectText(operation, root, "ETag")) ?? "";
    return { number, etag, size: last + 1 - first };
  });
}

/**
 * Makes an object of all parts. Sent once: the caller must find out what a failure means
 * (multipart-upload.ts).
 */
export async function completeMultipartUpload(
  client: S3Client,
  upload: MultipartId,
  { parts, signal }: { readonly parts: readonly Part[]; readonly signal: AbortSignal },
): Promise<void> {
  const operation = "CompleteMultipartUpload";
  const list = parts.map(
    ({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${escapeMarkup(etag)}</ETag></Part>`,
  );
  const document = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list.join("")}</CompleteMultipartUpload>`;
  const request = {
    operation,
    method: "POST",
    key: upload.key,
    query: { uploadId: upload.uploadId },
    headers: { "content-type": "application/xml" },
    body: payloadOf(document),
    isLongRunning: true,
    signal,
  };
  await client.callOnce(request, (response) => expectRoot(operation, response, "CompleteMultipartUploadResult"));
}

/**
 * Discards a multipart upload; `false` if there was none. Only multipart-upload.ts and collector.ts
 * may call it, because only they know when that is safe.
 */
export async function abortMultipartUpload(client: S3Client, { key, uploadId }: MultipartId): Promise<boolean> {
  const request = {
    operation: "AbortMultipartUpload",
    method: "DELETE",
    key,
    query: { uploadId },
    retryPolicy: "short",
  } as const;
  try {
    await client.call(request, () => null);
    return true;
  } catch (error) {
    if (failedWith(error, 404)) return false;
    throw error;
  }
}

function partQuery({ uploadId }: MultipartId, number: number): Readonly<Record<string, string>> {
  return { partNumber: String(number), uploadId };
}
