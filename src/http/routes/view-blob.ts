import { createHash } from "node:crypto";
import { FixityError } from "../../core/errors.ts";
import { cleanFileName } from "../../core/file-name.ts";
import type { Link } from "../../core/link.ts";
import { servedType } from "../active-content.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { matchesStrongly, matchesWeakly, parseEntityTags } from "../fields/etag.ts";
import type { RouteContext } from "../handler.ts";
import { SAFETY } from "../problem.ts";
import { problemOrPage, pageAnswer } from "../view/answers.ts";
import { renderPage } from "../view/page.ts";
import { policyOf } from "../view/policy.ts";
import { previewOf } from "../view/preview.ts";

/** Whether a link is asked for its page: by `?view`, unless the file is to be saved. */
export function asksForView({ options, query }: RouteContext): boolean {
  return options.view && query.has("view") && !query.has("download");
}

/**
 * `GET` and `HEAD` of a link with `?view`: a page about the file. The bytes are not touched; what the page shows of them the
 * browser gets by the link, and thus only in the ways in which links are safe.
 */
export async function viewBlob({ fixity, options, exchange, query }: RouteContext, link: Link): Promise<Answer> {
  const stat = await fixity.stat(link.digest, exchange.signal);
  if (stat === null) return absent(exchange);
  const { size } = stat;
  const mediaType = servedType(link, options.scripts);
  const preview = previewOf(link, size);
  const name = cleanFileName(query.get("filename"));
  const page = renderPage({ link, mediaType, url: fixity.urlOf(link), size, name }, preview);
  const etag = `"${createHash("sha256").update(page).digest("base64url").slice(0, 22)}"`;
  const origin = preview.kind === "none" ? null : await options.delegate?.origin(preview.source.digest);
  const fields = {
    ...SAFETY,
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

function absent(exchange: Exchange): Answer {
  const error = new FixityError("blob-not-found", "No file is stored under this link.");
  const text = "No file is stored under this link. If there was one, it has been removed.";
  return problemOrPage(exchange, error, text);
}
