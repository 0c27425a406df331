import { entityTag, expectRoot, expectText } from "./answers.ts";
import type { S3Answer, S3Client, S3Request } from "./client.ts";
import type { UploadName } from "./multipart.ts";
import type { ObjectFacts } from "./objects.ts";
import { S3Error } from "./s3-error.ts";
import type { XmlElement } from "./xml.ts";

/** An object as a listing tells of it. */
export interface ListedObject extends ObjectFacts {
  readonly key: string;
}

/** A multipart upload as a listing tells of it. */
export interface ListedUpload extends UploadName {
  readonly initiated: Date;
}

/** A part as a listing tells of it. */
export interface ListedPart {
  /** From 1 on. */
  readonly number: number;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
}

/** What a listing gives at a time, with the server's own time. */
export interface Page<T> {
  readonly items: readonly T[];
  /** By the clock that the times of the items are from; `null` where the server does not tell. */
  readonly now: Date | null;
}

/** All objects whose keys begin with `prefix`, page by page, in the order of their keys. */
export async function* listObjects(
  client: S3Client,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<Page<ListedObject>> {
  const operation = "ListObjectsV2";
  const first = { "list-type": "2", prefix };
  for (let query: Query | null = first; query !== null;) {
    const root = await readPage(client, { operation, key: null, query, signal }, "ListBucketResult");
    yield { items: root.element.children("Contents").map((element) => objectOf(operation, element)), now: root.now };
    query = nextQuery(root.element, query, { NextContinuationToken: "continuation-token" });
  }
}

/** All multipart uploads under way whose keys begin with `prefix`, page by page. */
export async function* listUploads(
  client: S3Client,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<Page<ListedUpload>> {
  const operation = "ListMultipartUploads";
  const first = { uploads: "", prefix };
  for (let query: Query | null = first; query !== null;) {
    const root = await readPage(client, { operation, key: null, query, signal }, "ListMultipartUploadsResult");
    yield { items: root.element.children("Upload").map((element) => uploadOf(operation, element)), now: root.now };
    query = nextQuery(root.element, query, { NextKeyMarker: "key-marker", NextUploadIdMarker: "upload-id-marker" });
  }
}

/** All parts that an upload has, page by page, in the order of their numbers. */
export async function* listParts(
  client: S3Client,
  { key, uploadId }: UploadName,
  signal?: AbortSignal,
): AsyncGenerator<Page<ListedPart>> {
  const operation = "ListParts";
  const first = { uploadId };
  for (let query: Query | null = first; query !== null;) {
    const root = await readPage(client, { operation, key, query, signal }, "ListPartsResult");
    yield { items: root.element.children("Part").map((element) => partOf(operation, element)), now: root.now };
    query = nextQuery(root.element, query, { NextPartNumberMarker: "part-number-marker" });
  }
}

type Query = Readonly<Record<string, string>>;
type PageRequest = Pick<S3Request, "operation" | "key" | "query" | "signal">;

async function readPage(client: S3Client, request: PageRequest, name: string) {
  return client.call({ ...request, method: "GET" }, (answer) => ({
    element: expectRoot(request.operation, answer, name),
    now: timeOf(answer),
  }));
}

/** The query for the page behind `root`; `null` where that is the last one. */
function nextQuery(root: XmlElement, query: Query, markers: Readonly<Record<string, string>>): Query | null {
  if (root.text("IsTruncated") !== "true") return null;
  const next: Record<string, string> = { ...query };
  for (const [name, parameter] of Object.entries(markers)) next[parameter] = expectText(root.name, root, name);
  if (Object.keys(next).some((name) => next[name] !== query[name])) return next;
  // Some servers do not know the markers, and would give the same page for ever.
  throw new S3Error({ operation: root.name, status: 200, detail: "the next page is the same again" });
}

function uploadOf(operation: string, element: XmlElement): ListedUpload {
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
  throw new S3Error({ operation, status: 200, detail: `${name} is no number` });
}

function dateOf(operation: string, element: XmlElement, name: string): Date {
  const date = new Date(expectText(operation, element, name));
  if (!Number.isNaN(date.getTime())) return date;
  throw new S3Error({ operation, status: 200, detail: `${name} is no time` });
}

/** When the server sent an answer, by its own clock; `null` if it does not tell. */
export function timeOf(answer: S3Answer): Date | null {
  const now = new Date(answer.headers("date") ?? Number.NaN);
  return Number.isNaN(now.getTime()) ? null : now;
}

/** `Date` counts seconds, and what is left of one is cut off. */
const DATE_STEP_MS = 1_000;

/**
 * Milliseconds since an object was modified, both by the server's clock, rounded up. `null` if the server does not tell the
 * time, or tells one before the object: a clock that was set back must not make an object look young for long.
 */
export function ageOf(modified: Date, now: Date | null): number | null {
  const age = now === null ? -1 : now.getTime() + DATE_STEP_MS - modified.getTime();
  return age >= 0 ? age : null;
}
