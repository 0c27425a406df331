import { escapeMarkup } from "../../../base/escape-markup.ts";
import { entityTag, expectRoot, expectTag, expectText } from "./answers.ts";
import type { CallOptions, Payload, S3Client } from "./client.ts";
import { copySource } from "./objects.ts";
import { failedWith, S3Error } from "./s3-error.ts";
import { sha256Hex } from "./signer.ts";

/** A multipart upload that has been begun. */
export interface UploadName {
  readonly key: string;
  readonly uploadId: string;
}

/** A part that S3 has. */
export interface Part {
  /** From 1 on. */
  readonly number: number;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

/** Begins a multipart upload; nothing can be read of it before its completion. */
export async function createUpload(
  client: S3Client,
  key: string,
  { contentType, lastAttempt }: Pick<CallOptions, "lastAttempt"> & { readonly contentType: string },
): Promise<UploadName> {
  const operation = "CreateMultipartUpload";
  const headers = { "content-type": contentType };
  // Asked twice, because an answer was lost, it makes two uploads; the one nobody knows of is collected in the end.
  const request = { operation, method: "POST", key, query: { uploads: "" }, headers, lastAttempt };
  return client.call(request, (answer) => {
    const root = expectRoot(operation, answer, "InitiateMultipartUploadResult");
    return { key, uploadId: expectText(operation, root, "UploadId") };
  });
}

/**
 * Uploads one part. Sent again under the same number, it takes the place of the one before. An aborted signal keeps it from
 * being sent again, but cuts nothing off: a part that arrives after its upload was aborted may stay for ever.
 */
export async function uploadPart(
  client: S3Client,
  upload: UploadName,
  number: number,
  { payload, signal }: { readonly payload: Payload; readonly signal: AbortSignal },
): Promise<Part> {
  const operation = "UploadPart";
  const query = partQuery(upload, number);
  return client.call(
    { operation, method: "PUT", key: upload.key, query, body: payload, lastAttempt: signal },
    (answer) => ({ number, etag: expectTag(operation, answer), size: payload.length }),
  );
}

/** Makes one part from bytes `first` to `last`, both included, of an object in the bucket. */
export async function uploadPartCopy(
  client: S3Client,
  upload: UploadName,
  number: number,
  source: { readonly key: string; readonly first: number; readonly last: number; readonly signal: AbortSignal },
): Promise<Part> {
  const operation = "UploadPartCopy";
  const headers = {
    "x-amz-copy-source": copySource(client, source.key),
    "x-amz-copy-source-range": `bytes=${source.first}-${source.last}`,
  };
  const query = partQuery(upload, number);
  const request = {
    operation,
    method: "PUT",
    key: upload.key,
    query,
    headers,
    isLong: true,
    lastAttempt: source.signal,
  };
  return client.call(request, (answer) => {
    // A server that does not know the field takes the request for a part without content, and says that it has it.
    if (answer.text === "" && answer.headers("etag") !== null) throw new S3Error({ operation, status: 501 });
    const root = expectRoot(operation, answer, "CopyPartResult");
    const etag = entityTag(expectText(operation, root, "ETag")) ?? "";
    return { number, etag, size: source.last + 1 - source.first };
  });
}

/** Makes an object of all parts. Sent once: what a failure means is for the caller to find out (multipart-upload.ts). */
export async function completeUpload(
  client: S3Client,
  upload: UploadName,
  { parts, signal }: { readonly parts: readonly Part[]; readonly signal: AbortSignal },
): Promise<void> {
  const operation = "CompleteMultipartUpload";
  const list = parts.map(
    ({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${escapeMarkup(etag)}</ETag></Part>`,
  );
  const body = Buffer.from(
    `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list.join("")}</CompleteMultipartUpload>`,
  );
  const request = {
    operation,
    method: "POST",
    key: upload.key,
    query: { uploadId: upload.uploadId },
    headers: { "content-type": "application/xml" },
    body: { chunks: [body], length: body.length, digest: sha256Hex([body]) },
    isLong: true,
    signal,
  };
  await client.once(request, (answer) => expectRoot(operation, answer, "CompleteMultipartUploadResult"));
}

/**
 * Throws an upload away; `false` where there was none. Only multipart-upload.ts and collector.ts may ask for it, which know
 * when it is safe.
 */
export async function abortUpload(client: S3Client, { key, uploadId }: UploadName): Promise<boolean> {
  const request = {
    operation: "AbortMultipartUpload",
    method: "DELETE",
    key,
    query: { uploadId },
    patience: "reader",
  } as const;
  try {
    await client.call(request, () => null);
    return true;
  } catch (error) {
    if (failedWith(error, 404)) return false;
    throw error;
  }
}

function partQuery({ uploadId }: UploadName, number: number): Readonly<Record<string, string>> {
  return { partNumber: String(number), uploadId };
}
