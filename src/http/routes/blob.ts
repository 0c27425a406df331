import { ByteRange } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { Link } from "../../core/link.ts";
import { servedType } from "../active-content.ts";
import { ByteRangesBody, contentRange } from "../byteranges.ts";
import type { Delegate } from "../delegation/delegate.ts";
import type { Answer } from "../exchange.ts";
import { etagOf, matchesStrongly, matchesWeakly, parseEntityTags } from "../fields/etag.ts";
import { ifRangeHolds } from "../fields/if-range.ts";
import { parseRange, resolveRanges } from "../fields/range.ts";
import type { RouteContext } from "../handler.ts";
import { blobFields, commonFields, savedName } from "../serving.ts";

/** `GET` and `HEAD` of a link: the bytes, or some of them. Conditions are taken in the order of RFC 9110, section 13.2.2. */
export async function readBlob(context: RouteContext, link: Link): Promise<Answer> {
  const { exchange } = context;
  const note = { digest: link.digest.toString() };
  const ifMatch = exchange.fields.get("if-match");
  if (ifMatch !== undefined && !matchesStrongly(parseEntityTags(ifMatch), etagOf(link.digest))) {
    throw new FixityError("precondition-failed", "If-Match does not name this file.");
  }
  const ifNoneMatch = exchange.fields.get("if-none-match");
  if (ifNoneMatch !== undefined) {
    const tags = parseEntityTags(ifNoneMatch);
    // A client that can name the digest has the bytes, and they cannot have changed: the store need not be asked. The
    // asterisk asks whether there is a blob at all.
    if (matchesWeakly(tags, etagOf(link.digest)) && (tags !== "*" || (await exists(context, link)))) {
      return { status: 304, fields: commonFields(link, context.options.resourcePolicy), note };
    }
  }
  if (exchange.method === "HEAD") return headOnly(context, link);
  const { delegate } = context.options;
  const mayDelegate = !(isEmptyFile(link) && exchange.fields.get("range") !== undefined);
  if (mayDelegate && delegate?.takes(exchange, etagOf(link.digest)) === true) return delegated(context, link, delegate);
  const ranges = wantedRanges(context, link);
  if (ranges === null) return wholeOrRange(context, link, undefined);
  const [only] = ranges;
  return ranges.length === 1 ? wholeOrRange(context, link, only) : severalRanges(context, link, ranges);
}

async function headOnly(context: RouteContext, link: Link): Promise<Answer> {
  const { fixity, exchange } = context;
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) throw absent();
  return {
    status: 200,
    fields: { ...fieldsOf(context, link), "Content-Length": String(stat.size) },
    note: { digest: link.digest.toString(), size: stat.size },
  };
}

/** The whole blob or one range of it: one call of the store, which need not be asked for the size before. */
async function wholeOrRange(context: RouteContext, link: Link, range: ByteRange | undefined): Promise<Answer> {
  const { fixity, exchange } = context;
  const { signal } = exchange;
  const reader = await fixity.open(link.digest, range === undefined ? { signal } : { signal, range });
  if (reader === null) throw absent();
  const { size, span } = reader;
  return {
    status: range === undefined ? 200 : 206,
    fields: {
      ...fieldsOf(context, link),
      "Content-Length": String(span.end - span.start),
      ...(range !== undefined && { "Content-Range": contentRange(span, size) }),
    },
    body: reader,
    note: { digest: link.digest.toString(), size },
  };
}

async function severalRanges(context: RouteContext, link: Link, ranges: readonly ByteRange[]): Promise<Answer> {
  const { fixity, exchange } = context;
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) throw absent();
  const spans = resolveRanges(ranges, stat.size);
  if (spans === null) return wholeOrRange(context, link, undefined);
  const [only] = spans;
  if (spans.length === 1 && only !== undefined) return wholeOrRange(context, link, ByteRange.over(only));
  const { digest } = link;
  const mediaType = servedType(link, context.options.scripts);
  const body = new ByteRangesBody(fixity, { digest, size: stat.size, mediaType, spans }, exchange.signal);
  return {
    status: 206,
    fields: {
      ...fieldsOf(context, link),
      "Content-Type": body.contentType,
      "Content-Length": String(body.length),
    },
    body,
    note: { digest: digest.toString(), size: stat.size },
  };
}

/** The bytes from somebody else; but what is wrong with the request is told by us. */
async function delegated(context: RouteContext, link: Link, delegate: Delegate): Promise<Answer> {
  const { fixity, exchange } = context;
  const { digest } = link;
  const stat = await fixity.stat(digest, exchange.signal);
  if (stat === null) throw absent();
  for (const range of wantedRanges(context, link) ?? []) ByteRange.resolve(range, stat.size);
  const answer = await delegate.pass({ digest, fields: fieldsOf(context, link) }, exchange);
  return { ...answer, note: { digest: digest.toString(), size: stat.size } };
}

/** The ranges asked for, or `null` for the whole. */
function wantedRanges({ exchange }: RouteContext, link: Link): readonly ByteRange[] | null {
  const range = exchange.fields.get("range");
  // A server may ignore any Range (RFC 9110, section 14.2). An empty file has no satisfiable one, and 416 would be an error
  // for players, download managers and caches that always send one; nginx, Apache and Go ignore it, too.
  if (range === undefined || isEmptyFile(link)) return null;
  const ifRange = exchange.fields.get("if-range");
  if (ifRange !== undefined && !ifRangeHolds(ifRange, etagOf(link.digest))) return null;
  return parseRange(range);
}

function fieldsOf({ query, options }: RouteContext, link: Link): Record<string, string> {
  return blobFields(link, {
    filename: savedName(link, query.get("filename")),
    download: query.has("download"),
    scripts: options.scripts,
    resourcePolicy: options.resourcePolicy,
  });
}

async function exists({ fixity, exchange }: RouteContext, link: Link): Promise<boolean> {
  return (await fixity.stat(link.digest, exchange.signal)) !== null;
}

function absent(): FixityError {
  return new FixityError("blob-not-found", "No file is stored under this link.");
}

/** The SHA-256 of no bytes. */
const EMPTY_HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function isEmptyFile({ digest }: Link): boolean {
  return digest.hex === EMPTY_HEX;
}
