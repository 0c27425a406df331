import { randomBytes } from "node:crypto";
import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Fixity } from "../../core/fixity.ts";
import type { Link } from "../../core/link.ts";
import { refuseCodeDestination, servedType } from "../active-content.ts";
import { notStored } from "../access.ts";
import type { Delegate } from "../delegated-downloads.ts";
import type { Answer, AnswerStream } from "../exchange.ts";
import { etagOf, ifRangeHolds, matchesStrongly, matchesWeakly, parseEntityTags } from "../fields/etag.ts";
import { parseRange, resolveRanges } from "../fields/range.ts";
import { checkPreconditions, isConditional } from "../preconditions.ts";
import type { AuthorizedRequest } from "../request.ts";
import { blobFields, cacheControlOf, commonFields, savedName } from "../serving.ts";

/**
 * `GET` and `HEAD` of a link: the bytes, or some of them. Conditions are evaluated in the order of
 * RFC 9110, section 13.2.2. A browser gets a page if nothing is stored under the link.
 */
export async function readBlob(request: AuthorizedRequest, link: Link): Promise<Answer> {
  const { fixity, exchange, options } = request;
  refuseCodeDestination(exchange, options.scripts);
  await fixity.assertNotBlocked(link.digest, exchange.signal);
  // Copies of what only some may read must not outlive its removal or its block, which looks the same.
  if (!request.reading.isPublic && isConditional(exchange)) {
    if ((await fixity.store.stat(link.digest, exchange.signal)) === null) throw notStored();
  }
  const etag = etagOf(link.digest);
  const ifMatch = exchange.fields.get("if-match");
  if (ifMatch !== undefined && !matchesStrongly(parseEntityTags(ifMatch), etag)) {
    throw new FixityError("precondition-failed", "If-Match does not name this file.");
  }
  const ifNoneMatch = exchange.fields.get("if-none-match");
  if (ifNoneMatch !== undefined) {
    const tags = parseEntityTags(ifNoneMatch);
    // A client that names the digest has the bytes, and they cannot have changed: the store need
    // not be asked. The asterisk asks whether there is a blob at all.
    if (matchesWeakly(tags, etag) && (tags !== "*" || (await exists(request, link)))) {
      return {
        status: 304,
        fields: commonFields(link, {
          resourcePolicy: options.resourcePolicy,
          cacheControl: cacheControlOf(request.reading),
        }),
        note: { digest: link.digest.toString() },
      };
    }
  }
  if (exchange.method === "HEAD") return blobHead(request, link);
  const { delegate } = options;
  const isDelegable = !(isEmptyFile(link) && exchange.fields.get("range") !== undefined);
  if (isDelegable && delegate?.accepts(exchange, etag) === true) return delegatedBlob(request, link, delegate);
  const ranges = requestedRanges(request, link);
  if (ranges === null) return wholeOrRange(request, link, undefined);
  const [only] = ranges;
  return ranges.length === 1 ? wholeOrRange(request, link, only) : severalRanges(request, link, ranges);
}

/** `DELETE` of a link: removes the blob, and with it all links to it, whatever their extension. */
export async function removeBlob({ fixity, exchange }: AuthorizedRequest, { digest }: Link): Promise<Answer> {
  if (isConditional(exchange)) {
    // Not verified: a damaged file is removed like any other.
    const stat = await fixity.store.stat(digest, exchange.signal);
    // Conditions are ignored if the response would be an error without them (RFC 9110, section
    // 13.2.1).
    if (stat !== null) checkPreconditions(exchange, stat);
  }
  if (!(await fixity.remove(digest, exchange.signal))) throw notStored();
  return { status: 204, fields: {}, note: { digest: digest.toString() } };
}

async function blobHead(request: AuthorizedRequest, link: Link): Promise<Answer> {
  const { fixity, exchange } = request;
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) throw notStored();
  return {
    status: 200,
    fields: { ...fieldsOf(request, link), "Content-Length": String(stat.size) },
    note: { digest: link.digest.toString(), size: stat.size },
  };
}

/**
 * The whole blob or one range of it, with one call of the store: the size need not be known before.
 */
async function wholeOrRange(request: AuthorizedRequest, link: Link, range: ByteRange | undefined): Promise<Answer> {
  const { fixity, exchange } = request;
  const { signal } = exchange;
  const reader = await fixity.open(link.digest, range === undefined ? { signal } : { signal, range });
  if (reader === null) throw notStored();
  const { size, span } = reader;
  return {
    status: range === undefined ? 200 : 206,
    fields: {
      ...fieldsOf(request, link),
      "Content-Length": String(span.end - span.start),
      ...(range !== undefined && { "Content-Range": contentRange(span, size) }),
    },
    body: reader.verifiedBytes ?? reader,
    note: { digest: link.digest.toString(), size },
  };
}

async function severalRanges(request: AuthorizedRequest, link: Link, ranges: readonly ByteRange[]): Promise<Answer> {
  const { fixity, exchange } = request;
  const stat = await fixity.statForRanges(link.digest, exchange.signal);
  if (stat === null) throw notStored();
  const spans = resolveRanges(ranges, stat.size);
  if (spans === null) return wholeOrRange(request, link, undefined);
  const [only] = spans;
  if (spans.length === 1 && only !== undefined) return wholeOrRange(request, link, ByteRange.over(only));
  const { digest } = link;
  const mediaType = servedType(link, request.options.scripts);
  const body = new ByteRangesBody(fixity, { digest, size: stat.size, mediaType, spans }, exchange.signal);
  return {
    status: 206,
    fields: {
      ...fieldsOf(request, link),
      "Content-Type": body.contentType,
      "Content-Length": String(body.length),
    },
    body,
    note: { digest: digest.toString(), size: stat.size },
  };
}

/** Passes the request on to another server, unless it fails: fixity reports errors itself. */
async function delegatedBlob(request: AuthorizedRequest, link: Link, delegate: Delegate): Promise<Answer> {
  const { fixity, exchange } = request;
  const { digest } = link;
  const stat = await fixity.statForRanges(digest, exchange.signal);
  if (stat === null) throw notStored();
  for (const range of requestedRanges(request, link) ?? []) ByteRange.resolve(range, stat.size);
  const answer = await delegate.passOn({ digest, fields: fieldsOf(request, link), reading: request.reading }, exchange);
  return { ...answer, note: { digest: digest.toString(), size: stat.size } };
}

/** The requested ranges, or `null` for the whole. */
function requestedRanges({ exchange }: AuthorizedRequest, link: Link): readonly ByteRange[] | null {
  const range = exchange.fields.get("range");
  // A server may ignore any Range (RFC 9110, section 14.2). An empty file has no satisfiable range,
  // and 416 would be an error for players, download managers and caches that always send one.
  // nginx, Apache and Go ignore it, too.
  if (range === undefined || isEmptyFile(link)) return null;
  const ifRange = exchange.fields.get("if-range");
  if (ifRange !== undefined && !ifRangeHolds(ifRange, etagOf(link.digest))) return null;
  return parseRange(range);
}

function fieldsOf({ query, options, reading }: AuthorizedRequest, link: Link): Record<string, string> {
  return blobFields(link, {
    filename: savedName(link, query.get("filename")),
    download: query.has("download"),
    inline: query.has("inline"),
    scripts: options.scripts,
    resourcePolicy: options.resourcePolicy,
    cacheControl: cacheControlOf(reading),
  });
}

async function exists({ fixity, exchange }: AuthorizedRequest, link: Link): Promise<boolean> {
  return (await fixity.stat(link.digest, exchange.signal)) !== null;
}

/** The SHA-256 of no bytes. */
const EMPTY_HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function isEmptyFile({ digest }: Link): boolean {
  return digest.hex === EMPTY_HEX;
}

/** The value of `Content-Range` for bytes of a blob. */
function contentRange({ start, end }: ByteSpan, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}

/** A blob and the ranges of it to send. */
interface RangedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  readonly spans: readonly ByteSpan[];
}

/**
 * `multipart/byteranges` content (RFC 9110, section 14.6): each range has its own header section.
 */
class ByteRangesBody implements AnswerStream {
  /** The value of the response's `Content-Type`. */
  readonly contentType: string;
  /** Bytes in total. */
  readonly length: number;
  readonly #fixity: Fixity;
  readonly #blob: RangedBlob;
  readonly #heads: readonly Buffer[];
  readonly #tail: Buffer;
  readonly #signal: AbortSignal;

  constructor(fixity: Fixity, blob: RangedBlob, signal: AbortSignal) {
    const boundary = randomBytes(16).toString("hex");
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    this.#fixity = fixity;
    this.#blob = blob;
    this.#signal = signal;
    this.#heads = blob.spans.map(({ start, end }, index) =>
      Buffer.from(
        `${index === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${blob.mediaType}\r\n` +
          `Content-Range: ${contentRange({ start, end }, blob.size)}\r\n\r\n`,
      ),
    );
    this.#tail = Buffer.from(`\r\n--${boundary}--\r\n`);
    const headBytes = this.#heads.reduce((sum, head) => sum + head.length, 0);
    this.length = blob.spans.reduce((sum, { start, end }) => sum + end - start, headBytes + this.#tail.length);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (const [index, span] of this.#blob.spans.entries()) {
      const range = ByteRange.over(span);
      await using reader = await this.#fixity.open(this.#blob.digest, { range, signal: this.#signal });
      // The announced length includes this range, so the failure must break the connection.
      if (reader === null) throw new FixityError("blob-not-found", "The file was removed while it was being sent.");
      yield this.#heads[index] ?? Buffer.alloc(0);
      yield* reader;
    }
    yield this.#tail;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
