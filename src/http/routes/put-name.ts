import { TextDecoder } from "node:util";
import { FixityError } from "../../core/errors.ts";
import { cleanFileName } from "../../core/file-name.ts";
import { UPLOADS_SEGMENT } from "../../core/fixity.ts";
import { refuseForm, refuseUrlEncoded } from "../request-content.ts";
import type { Answer } from "../exchange.ts";
import { mediaTypeIn } from "../fields/content-type.ts";
import { refuseChunkOfQuery } from "../form/chunk-fields.ts";
import type { RouteContext } from "../handler.ts";
import { checkPreconditions } from "../preconditions.ts";
import { createUpload, wantsResumable } from "../resumable/ietf.ts";
import { storeContent } from "./upload.ts";

/** The part of a name before its first dot, where it can only be a digest that was mistyped or cut. */
const LIKE_A_DIGEST = /^[0-9a-f]{60,68}(?:\.|$)/i;

/**
 * Whether a path segment, not decoded, may be a file's name. Where it is not, nothing has this address: there are no
 * folders, so a slash cannot be part of a name.
 */
export function mayBeName(segment: string): boolean {
  if (segment === "" || segment.includes("/") || /%2f/i.test(segment)) return false;
  const name = decode(segment);
  return name !== "." && name !== ".." && name !== UPLOADS_SEGMENT;
}

/**
 * `PUT` to a name, which `curl -T photo.png …/uploads/` sends: stores the content under its digest. The name gives the
 * link its extension; the address itself never names anything (docs/decisions/0009).
 *
 * @param segment one for which {@link mayBeName} holds
 */
export async function putName(context: RouteContext, segment: string): Promise<Answer> {
  const { exchange } = context;
  const filename = nameIn(segment);
  checkPreconditions(exchange, null);
  refuseChunkOfQuery(context.query);
  const type = exchange.fields.get("content-type");
  refuseForm(type);
  const naming = { filename, type: mediaTypeIn(type) };
  if (wantsResumable(context)) return createUpload(context, naming);
  refuseUrlEncoded(exchange);
  if (!exchange.hasContent) throw new FixityError("missing-file", "The request has no content. Send the file as it.");
  return storeContent(context, naming);
}

/** @throws FixityError `invalid-link` */
function nameIn(segment: string): string {
  const decoded = decode(segment);
  if (decoded === null) throw invalid("is not percent-encoded UTF-8");
  if (/[\u0000-\u001f\u007f-\u009f]/.test(decoded)) throw invalid("has control characters");
  const name = cleanFileName(decoded);
  if (name === null) throw invalid("has no visible character");
  if (LIKE_A_DIGEST.test(name) || decoded.includes(":")) {
    throw invalid(
      "looks like a digest and is none. A link is 64 lower-case hex digits, then perhaps a dot and an extension. " +
        "To store a file under any name, use POST with ?filename=",
    );
  }
  return name;
}

function invalid(what: string): FixityError {
  return new FixityError("invalid-link", `The last segment of the path ${what}.`);
}

/** A segment's text, or `null` where it is not percent-encoded UTF-8. Servers hand on raw bytes as one character each. */
function decode(segment: string): string | null {
  if (/%(?![0-9a-f]{2})|[^\x00-\xff]/i.test(segment)) return null;
  const bytes = segment.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, "latin1"));
  } catch {
    return null;
  }
}
