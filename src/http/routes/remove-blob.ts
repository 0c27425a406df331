import { FixityError } from "../../core/errors.ts";
import type { Link } from "../../core/link.ts";
import type { Answer } from "../exchange.ts";
import type { RouteContext } from "../handler.ts";
import { checkPreconditions, isConditional } from "../preconditions.ts";

/** `DELETE` of a link: removes the blob, and with it all links to it, whatever their extension. */
export async function removeBlob({ fixity, exchange }: RouteContext, { digest }: Link): Promise<Answer> {
  if (isConditional(exchange)) {
    const stat = await fixity.stat(digest, exchange.signal);
    // conditions do not count where the answer would be a failure without them (RFC 9110, section 13.2.1)
    if (stat !== null) checkPreconditions(exchange, stat);
  }
  if (!(await fixity.remove(digest, exchange.signal))) {
    throw new FixityError("blob-not-found", "No file is stored under this link.");
  }
  return { status: 204, fields: {}, note: { digest: digest.toString() } };
}
