import type { Readable } from "node:stream";
import type { BlobIdentity } from "../../core/blob-stat.ts";
import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader, OpenOptions } from "../../core/store.ts";
import type { S3Client } from "./api/client.ts";
import { getObject, headObject, objectIdentity } from "./api/objects.ts";
import { failedWith, S3Error } from "./api/s3-error.ts";
import type { S3Download } from "./api/transport.ts";
import { toFixityError } from "./store-error.ts";

/** Consecutive failures, without a byte between them, after which a read fails. */
const MAX_FAILURES = 3;

const OPERATION = "GetObject";

/**
 * Opens an object, or one range of it, with one GET; `null` if there is none.
 *
 * @throws FixityError `range-not-satisfiable`
 */
export async function openObject(
  client: S3Client,
  key: string,
  { range, signal }: OpenOptions,
): Promise<BlobReader | null> {
  // Servers disagree on how to answer a request for the last 0 bytes.
  if (range?.first === null && range.last === 0) return refuseRange(client, key, range, signal);
  let download: S3Download;
  try {
    download = await getObject(client, key, range?.toString() ?? null, signal);
  } catch (error) {
    if (failedWith(error, 404) && error.code !== "NoSuchBucket") return null;
    if (failedWith(error, 416)) return refuseRange(client, key, range, signal);
    throw error;
  }
  const copy = copyIn(download);
  const { size, span } = copy;
  const expected = ByteRange.resolve(range, size);
  if (span.start !== expected.start || span.end !== expected.end) {
    discard(download.body);
    throw new S3Error({ operation: OPERATION, status: download.status, detail: "the response has another range" });
  }
  return new S3Reader(download.body, copy, { client, key, signal });
}

/** A refusal states the blob's size, which takes a HEAD. */
async function refuseRange(
  client: S3Client,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): Promise<null> {
  const found = await headObject(client, key, { signal, retryPolicy: "short" });
  if (found === null) return null;
  ByteRange.resolve(range, found.size);
  throw new S3Error({ operation: OPERATION, status: 416, detail: "a satisfiable range was refused" });
}

/** The copy of an object that a response has. */
interface Copy {
  /** Bytes of the whole object. */
  readonly size: number;
  /** Which of them the response has. */
  readonly span: ByteSpan;
  readonly identity: BlobIdentity | null;
}

/** RFC 9110, section 14.4. */
function copyIn(download: S3Download): Copy {
  const { status, header, body } = download;
  const identity = objectIdentity(download);
  const length = Number(header("content-length") ?? Number.NaN);
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header("content-range") ?? "") ?? [];
  if (status === 200 && Number.isSafeInteger(length)) {
    return { size: length, span: { start: 0, end: length }, identity };
  }
  if (status === 206 && total !== undefined) {
    return { size: Number(total), span: { start: Number(first), end: Number(last) + 1 }, identity };
  }
  discard(body);
  throw new S3Error({ operation: OPERATION, status, detail: "the response does not state which bytes it has" });
}

/** Ends the request. Errors of the stream do not matter any more. */
function discard(body: Readable): void {
  body.on("error", () => null).destroy();
}

type Result = IteratorResult<Uint8Array, undefined>;

/**
 * A blob that is read from S3. It delivers exactly the bytes of its span or fails: every byte is
 * counted, and a connection that ends early is replaced by another. Servers close connections that
 * stand still, and a slow reader makes one stand still. The read continues where it broke off, if
 * the object is still the same copy. Its identity is compared, because not every server understands
 * a conditional GET.
 */
class S3Reader implements BlobReader, AsyncIterator<Uint8Array, undefined> {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #client: S3Client;
  readonly #key: string;
  readonly #signal: AbortSignal | undefined;
  #position: number;
  #body: Readable | null;
  #chunks: AsyncIterator<Uint8Array>;
  #failures = 0;
  readonly #onAbort = () => this.#close();

  constructor(
    body: Readable,
    { size, span, identity }: Copy,
    source: { readonly client: S3Client; readonly key: string; readonly signal: AbortSignal | undefined },
  ) {
    this.size = size;
    this.span = span;
    if (identity !== null) this.identity = identity;
    this.#client = source.client;
    this.#key = source.key;
    this.#signal = source.signal;
    this.#position = span.start;
    this.#body = body;
    this.#chunks = chunksOf(body);
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this;
  }

  async next(): Promise<Result> {
    this.#signal?.throwIfAborted();
    if (this.#position === this.span.end) return this.return();
    for (;;) {
      if (this.#body === null) throw new FixityError("store-unavailable", "The blob was closed before its end.");
      try {
        return { done: false, value: await this.#pull() };
      } catch (error) {
        this.#signal?.throwIfAborted();
        await this.#recover(error);
      }
    }
  }

  async return(): Promise<{ readonly done: true; readonly value: undefined }> {
    this.#close();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  async #pull(): Promise<Uint8Array> {
    const { done, value } = await this.#chunks.next();
    this.#signal?.throwIfAborted();
    if (done === true) throw new FixityError("store-unavailable", "The store ended the blob before its last byte.");
    if (this.#position + value.length > this.span.end) {
      throw new FixityError("blob-damaged", "The store has sent more bytes than it announced.");
    }
    this.#position += value.length;
    this.#failures = 0;
    return value;
  }

  async #recover(error: unknown): Promise<void> {
    this.#failures += 1;
    const isFinal = error instanceof FixityError && error.code === "blob-damaged";
    if (isFinal || this.#failures >= MAX_FAILURES || this.#body === null) {
      this.#close();
      throw toFixityError(asReadFailure(error));
    }
    this.#body.destroy();
    try {
      this.#body = await this.#reopen();
      this.#chunks = chunksOf(this.#body);
    } catch (error) {
      this.#close();
      throw toFixityError(error);
    }
  }

  async #reopen(): Promise<Readable> {
    const rest = { start: this.#position, end: this.span.end };
    const download = await getObject(this.#client, this.#key, ByteRange.over(rest).toString(), this.#signal);
    const { size, span, identity } = copyIn(download);
    const isWanted = size === this.size && span.start === rest.start && span.end === rest.end;
    if (isWanted && (identity ?? undefined) === this.identity) return download.body;
    discard(download.body);
    if (isWanted) throw new FixityError("store-unavailable", "The stored blob was replaced while it was read.");
    throw new FixityError("blob-damaged", "The stored blob has changed while it was read.");
  }

  #close(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    if (this.#body !== null) discard(this.#body);
    this.#body = null;
  }
}

function chunksOf(body: Readable): AsyncIterator<Uint8Array> {
  return (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
}

function asReadFailure(error: unknown): unknown {
  if (error instanceof FixityError) return error;
  return new FixityError("store-unavailable", "The connection broke off while the blob was read.", { cause: error });
}
