import type { Readable } from "node:stream";
import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader, OpenOptions } from "../../core/store.ts";
import type { S3Client, S3Download } from "./api/client.ts";
import { getObject, headObject } from "./api/objects.ts";
import { S3Reader } from "./s3-reader.ts";
import { failedWith, S3Error } from "./api/s3-error.ts";

const OPERATION = "GetObject";

/** Opens an object, or one range of it, for reading by one GET; `null` where there is none. */
export async function openObject(
  client: S3Client,
  key: string,
  { range, signal }: OpenOptions,
): Promise<BlobReader | null> {
  // Of nothing, servers give all sorts of things.
  if (range?.first === null && range.last === 0) return refuseRange(client, key, range, signal);
  const download = await getOrNull(client, key, range, signal);
  if (download === "absent") return null;
  if (download === "outside") return refuseRange(client, key, range, signal);
  const { size, span } = extentOf(download);
  const expected = ByteRange.resolve(range, size);
  if (span.start !== expected.start || span.end !== expected.end) {
    download.body.on("error", () => null).destroy();
    throw new S3Error({ operation: OPERATION, status: download.status, detail: "the answer has another range" });
  }
  const reopen = async (rest: ByteSpan) => reopenObject(client, key, { size, rest, signal });
  return new S3Reader({ body: download.body, size, span, reopen, signal });
}

async function getOrNull(
  client: S3Client,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): Promise<S3Download | "absent" | "outside"> {
  try {
    return await getObject(client, key, range?.toString() ?? null, signal);
  } catch (error) {
    if (failedWith(error, 404) && error.code !== "NoSuchBucket") return "absent";
    if (failedWith(error, 416)) return "outside";
    throw error;
  }
}

/** The size to tell along with a refusal is known by a HEAD. */
async function refuseRange(
  client: S3Client,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): Promise<null> {
  const found = await headObject(client, key, { signal, patience: "reader" });
  if (found === null) return null;
  ByteRange.resolve(range, found.size);
  throw new S3Error({ operation: OPERATION, status: 416, detail: "a range that lies inside was refused" });
}

async function reopenObject(
  client: S3Client,
  key: string,
  { size, rest, signal }: { readonly size: number; readonly rest: ByteSpan; readonly signal: AbortSignal | undefined },
): Promise<Readable> {
  const download = await getObject(client, key, ByteRange.over(rest).toString(), signal);
  const now = extentOf(download);
  if (now.size === size && now.span.start === rest.start && now.span.end === rest.end) return download.body;
  download.body.on("error", () => null).destroy();
  throw new FixityError("blob-damaged", "The stored blob has changed while it was read.");
}

/** Which bytes of how many an answer has (RFC 9110, section 14.4). */
function extentOf({ status, headers, body }: S3Download): { readonly size: number; readonly span: ByteSpan } {
  const length = Number(headers("content-length") ?? Number.NaN);
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers("content-range") ?? "") ?? [];
  if (status === 200 && Number.isSafeInteger(length)) return { size: length, span: { start: 0, end: length } };
  if (status === 206 && total !== undefined) {
    return { size: Number(total), span: { start: Number(first), end: Number(last) + 1 } };
  }
  body.on("error", () => null).destroy();
  throw new S3Error({ operation: OPERATION, status, detail: "the answer does not say which bytes it has" });
}
