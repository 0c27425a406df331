import { FixityError } from "../../core/errors.ts";
import type { Link } from "../../core/link.ts";
import { contentLength, demandOf, refuseUrlEncoded } from "../request-content.ts";
import type { Answer } from "../exchange.ts";
import type { RouteContext } from "../handler.ts";
import { checkPreconditions, isConditional } from "../preconditions.ts";
import { receiptAnswer } from "../receipt-answer.ts";
import { createUpload, wantsResumable } from "../resumable/ietf.ts";
import { storeContent } from "./upload.ts";

/**
 * `PUT` to a link: the link says what the content must be. Where it is stored already, with the announced length, the
 * answer is given at once, before the content where the client waits for `100 Continue`. Content without a length is
 * read: a blob of the wrong size must not be acknowledged.
 */
export async function putBlob(context: RouteContext, link: Link): Promise<Answer> {
  const { fixity, exchange, admission } = context;
  const length = contentLength(exchange);
  let isKnownAbsent = false;
  if (isConditional(exchange)) {
    const stat = await fixity.stat(link.digest, exchange.signal);
    checkPreconditions(exchange, stat);
    isKnownAbsent = stat === null;
  }
  if (wantsResumable(context)) return createUpload(context, { digest: link.digest, extension: link.extension });
  refuseUrlEncoded(exchange);
  if (!exchange.hasContent) throw new FixityError("missing-file", "The request has no content.");
  const { digest, extension } = link;
  const announced = demandOf(exchange.fields);
  if (length !== undefined && (announced.sha256 === null || announced.sha256.equals(digest))) {
    const found = await fixity.lookUp(digest, { extension, length, admission, signal: exchange.signal });
    if (typeof found !== "string") return receiptAnswer(context, found);
    isKnownAbsent = found === "absent";
  }
  return storeContent(context, { digest, extension, isKnownAbsent });
}
