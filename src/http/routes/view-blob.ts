import { createHash } from "node:crypto";
import { ByteRange } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { Link } from "../../core/link.ts";
import { servedType } from "../active-content.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { matchesStrongly, matchesWeakly, parseEntityTags } from "../fields/etag.ts";
import type { RouteContext } from "../handler.ts";
import { PAGE_SAFETY, SAFETY } from "../problem.ts";
import { savedName } from "../serving.ts";
import { pageAnswer, problemOrPage } from "../view/page-answer.ts";
import { readImageSize, type SizeReading } from "../view/image-size.ts";
import { renderPage } from "../view/page.ts";
import { policyOf } from "../view/policy.ts";
import { type Preview, previewOf } from "../view/preview.ts";

/** Pixels of an image that is shown; a browser takes 4 bytes and more for each. */
const MAX_IMAGE_PIXELS = 50_000_000;

/** Bytes in which the size of an image has to be stated; colour profiles and metadata may stand before it. */
const MAX_IMAGE_HEAD_BYTES = 1024 ** 2;

/** Whether a link is asked for its page: by `?view`, unless the file is to be saved. */
export function asksForView({ options, query }: RouteContext): boolean {
  return options.view && query.has("view") && !query.has("download");
}

/**
 * `GET` and `HEAD` of a link with `?view`: a page about the file. Nothing of the file is in it; the browser gets what the page
 * shows by the link, and thus only in the ways in which links are safe.
 */
export async function viewBlob(context: RouteContext, link: Link): Promise<Answer> {
  const { fixity, options, exchange, query } = context;
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) return absent(exchange);
  const { size } = stat;
  const mediaType = servedType(link, options.scripts);
  const preview = await safePreview(context, link, size);
  const name = savedName(link, query.get("filename"));
  const page = renderPage({ link, mediaType, url: fixity.urlOf(link), size, name }, preview);
  const etag = `"${createHash("sha256").update(page).digest("base64url").slice(0, 22)}"`;
  const origin = preview.kind === "none" ? null : await options.delegate?.origin(preview.source.digest);
  const fields = {
    ...SAFETY,
    ...PAGE_SAFETY,
    "Content-Security-Policy": policyOf(preview, origin ?? null),
    ETag: etag,
    // the file may be removed, and the page look better with the next version
    "Cache-Control": "no-cache",
    // who was given a link has not been asked whether the world may find it
    "X-Robots-Tag": "noindex",
  };
  const note = { digest: link.digest.toString(), size };
  const ifMatch = exchange.fields.get("if-match");
  if (ifMatch !== undefined && !matchesStrongly(parseEntityTags(ifMatch), etag)) {
    throw new FixityError("precondition-failed", "If-Match does not name this page.");
  }
  const ifNoneMatch = exchange.fields.get("if-none-match");
  if (ifNoneMatch !== undefined && matchesWeakly(parseEntityTags(ifNoneMatch), etag)) {
    return { status: 304, fields, note };
  }
  return { ...pageAnswer(exchange, { status: 200, fields }, page), note };
}

/**
 * The preview, unless it is an image with so many pixels that a browser would need gigabytes for it: a small file can have
 * that many. SVG has no pixels. The size is near the beginning, so little of the file is read.
 */
async function safePreview({ fixity, exchange }: RouteContext, link: Link, size: number): Promise<Preview> {
  const preview = previewOf(link, size);
  if (preview.kind !== "image" || link.mediaType === "image/svg+xml") return preview;
  const range = ByteRange.over({ start: 0, end: Math.min(size, MAX_IMAGE_HEAD_BYTES) });
  await using reader = await fixity.open(link.digest, { range, signal: exchange.signal });
  // removed since it was found
  if (reader === null) return preview;
  let head: Buffer = Buffer.alloc(0);
  let reading: SizeReading = "more";
  for await (const chunk of reader) {
    head = Buffer.concat([head, chunk]);
    reading = readImageSize(head, head.length === size);
    if (reading !== "more") break;
  }
  // what has no size in all of its bytes is no image, and the browser says so
  if (reading === "unknown" || (reading === "more" && head.length === size)) return preview;
  if (reading !== "more" && reading.width * reading.height <= MAX_IMAGE_PIXELS) return preview;
  return { kind: "none", reason: "The image is too large to be shown here." };
}

function absent(exchange: Exchange): Answer {
  const error = new FixityError("blob-not-found", "No file is stored under this link.");
  const text = "No file is stored under this link. If there was one, it has been removed.";
  return problemOrPage(exchange, error, text);
}
