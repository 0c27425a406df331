import { createHash } from "node:crypto";
import type { SeenRequest } from "./fault-proxy.ts";

/** A completely received request. */
export interface ScriptedRequest extends SeenRequest {
  readonly query: URLSearchParams;
  readonly content: Buffer;
}

/** A response as it is sent. */
export interface ScriptedAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

interface StoredObject {
  readonly bytes: Buffer;
  readonly type: string;
  readonly etag: string;
  readonly modified: Date;
}

interface StoredUpload {
  readonly key: string;
  readonly type: string;
  readonly initiated: Date;
  readonly parts: Map<number, Buffer>;
}

/**
 * A bucket in memory that responds as AWS documents it ("S3 API reference") where other servers
 * differ: entity tags in quotation marks, `NoSuchUpload` for a repeated completion.
 */
export class ScriptedBucket {
  readonly objects: Map<string, StoredObject> = new Map();
  readonly uploads: Map<string, StoredUpload> = new Map();
  /** Objects on a page of a listing, unless a request limits them further. */
  pageSize = 1000;
  /** Whether a key appears in listings, of objects or of uploads. For listings that lag. */
  isListed: (key: string, operation: string) => boolean = () => true;
  /** Whether a request finds a stored object. For objects that appear late. */
  isShown: (request: ScriptedRequest, key: string) => boolean = () => true;
  #ids = 0;

  /** Stores an object without a request. @returns its entity tag */
  put(key: string, bytes: Buffer, type: string): string {
    return this.#keep(key, bytes, type);
  }

  answer(request: ScriptedRequest): ScriptedAnswer {
    const digest = request.headers["x-amz-content-sha256"];
    const found = createHash("sha256").update(request.content).digest("hex");
    if (digest !== "UNSIGNED-PAYLOAD" && digest !== found) return failure(400, "XAmzContentSHA256Mismatch");
    switch (request.operation) {
      case "PutObject":
        return this.#put(request);
      case "HeadObject":
      case "GetObject":
        return this.#get(request);
      case "DeleteObject":
        this.objects.delete(request.key);
        return { status: 204 };
      case "CopyObject":
        return this.#copy(request);
      case "CreateMultipartUpload":
        return this.#create(request);
      case "ListObjectsV2":
        return this.#list(request);
      case "ListMultipartUploads":
        return this.#listUploads(request);
      default:
        return this.#answerOfUpload(request);
    }
  }

  #put({ key, headers, content }: ScriptedRequest): ScriptedAnswer {
    if (headers["if-none-match"] === "*" && this.objects.has(key)) return failure(412, "PreconditionFailed");
    const wanted = headers["if-match"];
    const found = this.objects.get(key)?.etag;
    if (wanted !== undefined && found === undefined) return failure(404, "NoSuchKey");
    if (wanted !== undefined && wanted.replaceAll('"', "") !== found?.replaceAll('"', "")) {
      return failure(412, "PreconditionFailed");
    }
    return { status: 200, headers: { etag: this.#keep(key, content, typeOf(headers)) } };
  }

  #get(request: ScriptedRequest): ScriptedAnswer {
    const { key, headers } = request;
    const found = this.isShown(request, key) ? this.objects.get(key) : undefined;
    if (found === undefined) return failure(404, "NoSuchKey");
    const { bytes, type, etag, modified } = found;
    const common = { "content-type": type, etag, "last-modified": modified.toUTCString() };
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(String(headers.range)) ?? [];
    if (first === undefined) return { status: 200, headers: common, body: bytes };
    const range = { "content-range": `bytes ${first}-${last}/${bytes.length}` };
    return { status: 206, headers: { ...common, ...range }, body: bytes.subarray(Number(first), Number(last) + 1) };
  }

  #copy(request: ScriptedRequest): ScriptedAnswer {
    const source = this.#sourceOf(request);
    if (source === undefined) return failure(404, "NoSuchKey");
    return xml("CopyObjectResult", `<ETag>${escaped(this.#keep(request.key, source.bytes, source.type))}</ETag>`);
  }

  #create({ key, headers }: ScriptedRequest): ScriptedAnswer {
    let uploadId: string;
    do uploadId = `id-${(this.#ids += 1)}`;
    while (this.uploads.has(uploadId));
    this.uploads.set(uploadId, { key, type: typeOf(headers), initiated: new Date(), parts: new Map() });
    return xml("InitiateMultipartUploadResult", `<UploadId>${uploadId}</UploadId>`);
  }

  #list({ operation, query }: ScriptedRequest): ScriptedAnswer {
    const after = query.get("continuation-token") ?? "";
    const { page, isTruncated } = pageOf(
      [...this.objects].filter(([key]) => isInListing(key, query) && this.isListed(key, operation) && key > after),
      ([key]) => key,
      query.get("max-keys") ?? String(this.pageSize),
    );
    const contents = page.map(
      ([key, { bytes, etag, modified }]) =>
        `<Contents><Key>${key}</Key><LastModified>${modified.toISOString()}</LastModified>` +
        `<ETag>${escaped(etag)}</ETag><Size>${bytes.length}</Size></Contents>`,
    );
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)?.[0] ?? ""}</NextContinuationToken>` : "";
    return xml("ListBucketResult", `<IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join("")}`);
  }

  #listUploads({ operation, query }: ScriptedRequest): ScriptedAnswer {
    const place = (key: string, uploadId: string) => `${key} ${uploadId}`;
    const after = query.has("key-marker")
      ? place(query.get("key-marker") ?? "", query.get("upload-id-marker") ?? "")
      : "";
    const { page, isTruncated } = pageOf(
      [...this.uploads].filter(
        ([id, { key }]) => isInListing(key, query) && this.isListed(key, operation) && place(key, id) > after,
      ),
      ([id, { key }]) => place(key, id),
      query.get("max-uploads"),
    );
    const items = page.map(
      ([id, { key, initiated }]) =>
        `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`,
    );
    const [lastId = "", last] = page.at(-1) ?? [];
    const markers = `<NextKeyMarker>${last?.key ?? ""}</NextKeyMarker><NextUploadIdMarker>${lastId}</NextUploadIdMarker>`;
    const next = isTruncated ? markers : "";
    return xml("ListMultipartUploadsResult", `<IsTruncated>${isTruncated}</IsTruncated>${next}${items.join("")}`);
  }

  #answerOfUpload(request: ScriptedRequest): ScriptedAnswer {
    const uploadId = request.query.get("uploadId") ?? "";
    const upload = this.uploads.get(uploadId);
    if (upload === undefined) return failure(404, "NoSuchUpload");
    if (request.operation === "CompleteMultipartUpload") return this.#complete(uploadId, upload, request.content);
    if (request.operation === "AbortMultipartUpload") {
      this.uploads.delete(uploadId);
      return { status: 204 };
    }
    if (request.operation === "ListParts") return listOfParts(upload, request.query);
    const number = Number(request.query.get("partNumber"));
    const isCopy = request.operation === "UploadPartCopy";
    const bytes = isCopy ? this.#rangeOf(request) : request.content;
    upload.parts.set(number, bytes);
    const etag = tagOf(bytes);
    return isCopy ? xml("CopyPartResult", `<ETag>${escaped(etag)}</ETag>`) : { status: 200, headers: { etag } };
  }

  #complete(uploadId: string, { key, type, parts }: StoredUpload, list: Buffer): ScriptedAnswer {
    const named = [...list.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>&quot;(\w+)&quot;<\/ETag>/g)];
    const bytes = named.map(([, number, tag]) => {
      const part = parts.get(Number(number));
      return part !== undefined && tagOf(part) === `"${tag}"` ? part : null;
    });
    if (bytes.length === 0 || bytes.includes(null)) return failure(400, "InvalidPart");
    this.uploads.delete(uploadId);
    const etag = this.#keep(key, Buffer.concat(bytes as Buffer[]), type, tagOfParts(bytes as Buffer[]));
    return xml("CompleteMultipartUploadResult", `<ETag>${escaped(etag)}</ETag>`);
  }

  #rangeOf(request: ScriptedRequest): Buffer {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(String(request.headers["x-amz-copy-source-range"])) ?? [];
    return this.#sourceOf(request)?.bytes.subarray(Number(first), Number(last) + 1) ?? Buffer.alloc(0);
  }

  #sourceOf(request: ScriptedRequest): StoredObject | undefined {
    const key = String(request.headers["x-amz-copy-source"]).split("/").slice(2).join("/");
    return this.isShown(request, key) ? this.objects.get(key) : undefined;
  }

  #keep(key: string, bytes: Buffer, type: string, etag: string = tagOf(bytes)): string {
    this.objects.set(key, { bytes, type, etag, modified: new Date() });
    return etag;
  }
}

function listOfParts({ parts }: StoredUpload, query: URLSearchParams): ScriptedAnswer {
  const modified = new Date().toISOString();
  const after = Number(query.get("part-number-marker") ?? 0);
  const { page, isTruncated } = pageOf(
    [...parts].filter(([number]) => number > after),
    ([number]) => String(number).padStart(5, "0"),
    query.get("max-parts"),
  );
  const items = page.map(
    ([number, bytes]) =>
      `<Part><PartNumber>${number}</PartNumber><LastModified>${modified}</LastModified>` +
      `<ETag>${escaped(tagOf(bytes))}</ETag><Size>${bytes.length}</Size></Part>`,
  );
  const next = isTruncated ? `<NextPartNumberMarker>${page.at(-1)?.[0]}</NextPartNumberMarker>` : "";
  return xml("ListPartsResult", `<IsTruncated>${isTruncated}</IsTruncated>${next}${items.join("")}`);
}

function isInListing(key: string, query: URLSearchParams): boolean {
  return key.startsWith(query.get("prefix") ?? "");
}

/** The first items in their order: 1,000, or fewer if the request limits them. */
function pageOf<T>(items: readonly T[], placeOf: (item: T) => string, limit: string | null) {
  const most = Math.min(Number(limit ?? 1_000), 1_000);
  const sorted = items.toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  return { page: sorted.slice(0, most), isTruncated: sorted.length > most };
}

/** A predicate that is false for each key the first `looks` times, then true: a lag without a clock. */
export function hiddenAtFirst(looks: number): (key: string) => boolean {
  const left = new Map<string, number>();
  return (key) => {
    const now = left.get(key) ?? looks;
    left.set(key, now - 1);
    return now <= 0;
  };
}

/** An error of S3 in XML. `more` is added to its element. */
export function failure(status: number, code: string, more = "", message = "As scripted."): ScriptedAnswer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;
  return { status, headers: { "content-type": "application/xml" }, body };
}

/** A result of S3 in XML. */
export function xml(name: string, content: string): ScriptedAnswer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${name}>`;
  return { status: 200, headers: { "content-type": "application/xml" }, body };
}

function typeOf(headers: ScriptedRequest["headers"]): string {
  return headers["content-type"] ?? "binary/octet-stream";
}

function tagOf(bytes: Buffer): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

function tagOfParts(parts: readonly Buffer[]): string {
  const hash = createHash("md5");
  for (const part of parts) hash.update(createHash("md5").update(part).digest());
  return `"${hash.digest("hex")}-${parts.length}"`;
}

function escaped(etag: string): string {
  return etag.replaceAll('"', "&quot;");
}
