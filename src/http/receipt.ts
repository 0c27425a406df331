import type { Receipt } from "../core/receipt.ts";
import type { Answer, Exchange } from "./exchange.ts";
import { prefersHtml } from "./fields/accept.ts";
import { formatReprDigest } from "./fields/digest-fields.ts";
import { etagOf } from "./fields/etag.ts";
import { wantsSha256 } from "./fields/want-digest.ts";
import { SAFETY } from "./problem.ts";

/**
 * The answer to an upload that has been stored: 201 where the content is new, 200 where it was there. A browser's form,
 * which can show nothing but a page, is sent on to the link.
 */
export function receiptAnswer(exchange: Exchange, receipt: Receipt): Answer {
  const { digest, size, existed, url } = receipt;
  const fields = {
    Location: url,
    ETag: etagOf(digest),
    ...(wantsSha256(exchange.fields.get("want-repr-digest")) && { "Repr-Digest": formatReprDigest(digest) }),
    "Cache-Control": "no-store",
  };
  const note = { digest: digest.toString(), size, existed };
  if (prefersHtml(exchange.fields.get("accept"))) return { status: 303, fields, note };
  const { type, name, integrity } = receipt;
  return {
    status: existed ? 200 : 201,
    fields: { ...fields, ...SAFETY, "Content-Type": "application/json" },
    body: JSON.stringify({ url, digest, size, type, name, integrity }),
    note,
  };
}
