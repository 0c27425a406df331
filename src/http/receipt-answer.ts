import type { Receipt } from "../core/link.ts";
import { servedType } from "./active-content.ts";
import type { Answer } from "./exchange.ts";
import { prefersHtml } from "./fields/accept.ts";
import { isForm } from "./fields/content-type.ts";
import { formatReprDigest } from "./fields/digest-fields.ts";
import { etagOf } from "./fields/etag.ts";
import type { RouteContext } from "./handler.ts";
import { SAFETY } from "./problem.ts";

/**
 * The answer to an upload that has been stored: 201 if the content is new, 200 if it was there. A browser's form, which can
 * show nothing but a page, is redirected to the link.
 */
export function receiptAnswer(
  { exchange, options }: Pick<RouteContext, "exchange" | "options">,
  receipt: Receipt,
): Answer {
  const { digest, size, existed, url } = receipt;
  const fields = {
    Location: url,
    ETag: etagOf(digest),
    "Repr-Digest": formatReprDigest(digest),
    "Cache-Control": "no-store",
  };
  const note = { digest: digest.toString(), size, existed };
  // Java's HttpURLConnection prefers HTML too, and would follow the redirect to the file
  const isPageForm = exchange.method === "POST" && isForm(exchange.fields.get("content-type"));
  if (isPageForm && prefersHtml(exchange.fields.get("accept"))) return { status: 303, fields, note };
  const { link, name, integrity } = receipt;
  const type = servedType(link, options.scripts);
  return {
    status: existed ? 200 : 201,
    fields: { ...fields, ...SAFETY, "Content-Type": "application/json" },
    body: JSON.stringify({ url, digest, size, type, name, integrity }),
    note,
  };
}
