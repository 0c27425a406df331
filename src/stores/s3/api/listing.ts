import type { CallOptions, S3Client, S3Request } from "./client.ts";
import type { MultipartId, Part } from "./multipart.ts";
import type { ObjectMetadata } from "./objects.ts";
import { entityTag, expectRoot, expectText, S3Error } from "./s3-error.ts";
import type { ResponseHead } from "./transport.ts";
import type { XmlElement } from "./xml.ts";

/** An object in a listing. */
export interface ListedObject extends ObjectMetadata {
  readonly key: string;
}

/** A multipart upload in a listing. */
export interface ListedMultipartUpload extends MultipartId {
  readonly initiated: Date;
}

/** A part in a listing. */
export interface ListedPart extends Part {
  readonly modified: Date;
}

/** One page of a listing. */
export interface Page<T> {
  readonly items: readonly T[];
  /**
   * The server's time, by the clock that the items' times are from; `null` if the server does not
   * send it.
   */
  readonly now: Date | null;
}

/** How the requests of a listing are cancelled, and how long each is retried. */
export type ListOptions = Pick<CallOptions, "signal" | "retryPolicy">;

/** All objects whose keys begin with `prefix`, page by page, in the order of their keys. */
export async function* listObjects(
  client: S3Client,
  prefix: string,
  options: ListOptions = {},
): AsyncGenerator<Page<ListedObject>> {
  const operation = "ListObjectsV2";
  const first = { "list-type": "2", prefix };
  for (let query: Query | null = first; query !== null;) {
    const { root, now } = await readPage(client, { operation, key: null, query, ...options }, "ListBucketResult");
    yield { items: root.children("Contents").map((element) => objectOf(operation, element)), now };
    query = nextQuery(root, query, { NextContinuationToken: "continuation-token" });
  }
}

/** All unfinished multipart uploads whose keys begin with `prefix`, page by page. */
export async function* listMultipartUploads(
  client: S3Client,
  prefix: string,
  options: ListOptions = {},
): AsyncGenerator<Page<ListedMultipartUpload>> {
  const operation = "ListMultipartUploads";
  const first = { uploads: "", prefix };
  for (let query: Query | null = first; query !== null;) {
    const { root, now } = await readPage(
      client,
      { operation, key: null, query, ...options },
      "ListMultipartUploadsResult",
    );
    yield { items: root.children("Upload").map((element) => multipartUploadOf(operation, element)), now };
    query = nextQuery(root, query, { NextKeyMarker: "key-marker", NextUploadIdMarker: "upload-id-marker" });
  }
}

/** All parts of a multipart upload, page by page, in the order of their numbers. */
export async function* listParts(
  client: S3Client,
  { key, uploadId }: MultipartId,
  options: ListOptions = {},
): AsyncGenerator<Page<ListedPart>> {
  const operation = "ListParts";
  const first = { uploadId };
  for (let query: Query | null = first; query !== null;) {
    const { root, now } = await readPage(client, { operation, key, query, ...options }, "ListPartsResult");
    yield { items: root.children("Part").map((element) => partOf(operation, element)), now };
    query = nextQuery(root, query, { NextPartNumberMarker: "part-number-marker" });
  }
}

type Query = Readonly<Record<string, string>>;
type PageRequest = Pick<S3Request, "operation" | "key" | "query" | keyof ListOptions>;

async function readPage(client: S3Client, request: PageRequest, name: string) {
  return client.call({ ...request, method: "GET" }, (response) => ({
    root: expectRoot(request.operation, response, name),
    now: serverTime(response),
  }));
}

/** The query for the page after `root`; `null` after the last one. */
function nextQuery(root: XmlElement, query: Query, markers: Readonly<Record<string, string>>): Query | null {
  if (root.text("IsTruncated") !== "true") return null;
  const next: Record<string, string> = { ...query };
  for (const [name, parameter] of Object.entries(markers)) next[parameter] = expectText(root.name, root, name);
  if (Object.keys(next).some((name) => next[name] !== query[name])) return next;
  // Some servers ignore the markers, and would send the same page for ever.
  throw new S3Error({ operation: root.name, status: 200, detail: "the next page is the same as this one" });
}

function multipartUploadOf(operation: string, element: XmlElement): ListedMultipartUpload {
  return {
    key: expectText(operation, element, "Key"),
    uploadId: expectText(operation, element, "UploadId"),
    initiated: dateOf(operation, element, "Initiated"),
  };
}

function partOf(operation: string, element: XmlElement): ListedPart {
  return {
    number: numberOf(operation, element, "PartNumber"),
    etag: entityTag(expectText(operation, element, "ETag")) ?? "",
    size: numberOf(operation, element, "Size"),
    modified: dateOf(operation, element, "LastModified"),
  };
}

function objectOf(operation: string, element: XmlElement): ListedObject {
  return {
    key: expectText(operation, element, "Key"),
    size: numberOf(operation, element, "Size"),
    modified: dateOf(operation, element, "LastModified"),
    etag: entityTag(element.text("ETag")),
  };
}

function numberOf(operation: string, element: XmlElement, name: string): number {
  const number = Number(expectText(operation, element, name));
  if (Number.isSafeInteger(number)) return number;
  throw new S3Error({ operation, status: 200, detail: `${name} is not a number` });
}

function dateOf(operation: string, element: XmlElement, name: string): Date {
  const date = new Date(expectText(operation, element, name));
  if (!Number.isNaN(date.getTime())) return date;
  throw new S3Error({ operation, status: 200, detail: `${name} is not a time` });
}

/** When the server sent a response, by its own clock; `null` if it does not say. */
export function serverTime(response: ResponseHead): Date | null {
  const now = new Date(response.header("date") ?? Number.NaN);
  return Number.isNaN(now.getTime()) ? null : now;
}

/** `Date` has whole seconds, rounded down. */
const DATE_RESOLUTION_MS = 1_000;

/**
 * Milliseconds since an object was modified, by the server's clock, rounded up. `null` if the
 * server does not send its time, or one before the object's: a clock that was set back must not
 * make an object look young for long.
 */
export function ageOf(modified: Date, now: Date | null): number | null {
  const age = now === null ? -1 : now.getTime() + DATE_RESOLUTION_MS - modified.getTime();
  return age >= 0 ? age : null;
}
