import { createHash } from "node:crypto";
import { ByteRange } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import type { Link } from "../../core/link.ts";
import { refuseCodeDestination, servedType } from "../active-content.ts";
import { notStored } from "../access.ts";
import type { Answer } from "../exchange.ts";
import { matchesStrongly, matchesWeakly, parseEntityTags } from "../fields/etag.ts";
import { PAGE_SAFETY, SAFETY } from "../problem.ts";
import type { AdmittedRequest, AuthorizedRequest } from "../request.ts";
import { savedName } from "../serving.ts";
import { readImageSize, type SizeReading } from "../view/image-size.ts";
import { renderPage } from "../view/page.ts";
import { pageAnswer, policyOf } from "../view/page-answer.ts";
import { type Preview, previewOf } from "../view/preview.ts";
import { plainQuery } from "../view/snippets.ts";

/** The most pixels of an image that is displayed; a browser needs at least 4 bytes for each. */
const MAX_IMAGE_PIXELS = 50_000_000;

/**
 * Within how many bytes the size of an image must be stated. Colour profiles and metadata may
 * precede it.
 */
const MAX_IMAGE_HEAD_BYTES = 1024 ** 2;

/** Whether a request is for the page of a link: `?view`, unless it asks for a download. */
export function asksForView({ options, query }: AdmittedRequest): boolean {
  return options.view && query.has("view") && !query.has("download");
}

/**
 * `GET` and `HEAD` of a link with `?view`: a page about the file. The page contains nothing of the
 * file. The browser loads what it displays by the link, and thus only in the ways in which links
 * are safe.
 */
export async function viewBlob(request: AuthorizedRequest, link: Link): Promise<Answer> {
  const { fixity, options, exchange, query } = request;
  refuseCodeDestination(exchange, options.scripts);
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) throw notStored();
  const { size } = stat;
  const mediaType = servedType(link, options.scripts);
  const preview = await safePreview(request, link, size);
  const name = savedName(link, query.get("filename"));
  const { reading } = request;
  const queryOf = reading.sign ?? plainQuery;
  const page = renderPage({ link, mediaType, url: fixity.urlOf(link), size, name, queryOf }, preview);
  const etag = `"${createHash("sha256").update(page).digest("base64url").slice(0, 22)}"`;
  const origin = preview.kind === "none" ? null : await options.delegate?.origin(preview.source.digest);
  const fields = {
    ...SAFETY,
    ...PAGE_SAFETY,
    "Content-Security-Policy": policyOf(preview, origin ?? null),
    ETag: etag,
    // The file may be removed, and the page may change with the next version.
    "Cache-Control": reading.isPublic ? "no-cache" : "private, no-cache",
    // A client that shares a link did not consent to its publication in search engines.
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
 * The preview, unless it is an image with so many pixels that a browser would need gigabytes for
 * it, as even a small file can have. SVG has no pixels. Images state their size near the beginning,
 * so little of the file is read.
 */
async function safePreview({ fixity, exchange }: AuthorizedRequest, link: Link, size: number): Promise<Preview> {
  const preview = previewOf(link, size);
  if (preview.kind !== "image" || link.mediaType === "image/svg+xml") return preview;
  const range = ByteRange.over({ start: 0, end: Math.min(size, MAX_IMAGE_HEAD_BYTES) });
  await using reader = await fixity.open(link.digest, { range, signal: exchange.signal });
  // The blob was removed in the meantime.
  if (reader === null) return preview;
  let head: Buffer = Buffer.alloc(0);
  let reading: SizeReading = "more";
  for await (const chunk of reader) {
    head = Buffer.concat([head, chunk]);
    reading = readImageSize(head, head.length === size);
    if (reading !== "more") break;
  }
  // A file that states no size is not an image, and the browser says so.
  if (reading === "unknown" || (reading === "more" && head.length === size)) return preview;
  if (reading !== "more" && reading.width * reading.height <= MAX_IMAGE_PIXELS) return preview;
  return { kind: "none", reason: "The image is too large to be shown here." };
}
