import type { PutOptions } from "../../core/fixity.ts";
import { FixityError } from "../../core/errors.ts";
import { HashedSource } from "../../core/intake.ts";
import {
  announcesTrailerDigest,
  assertDigests,
  contentLength,
  demandOf,
  refuseUrlEncoded,
  trailerDemandOf,
} from "../request-content.ts";
import type { Answer } from "../exchange.ts";
import { fileNameOf } from "../fields/content-disposition.ts";
import { isForm, mediaTypeIn, parseContentType } from "../fields/content-type.ts";
import { refuseChunkOfQuery } from "../form/chunk-fields.ts";
import type { RouteContext } from "../handler.ts";
import { receiptAnswer } from "../receipt-answer.ts";
import { createUpload, wantsResumable } from "../resumable/ietf.ts";
import { uploadForm } from "./upload-form.ts";

/** `POST` to the collection: a form with a file, or a file as the content itself. */
export async function upload(context: RouteContext): Promise<Answer> {
  const { fields } = context.exchange;
  refuseChunkOfQuery(context.query);
  const declared = fields.get("content-type");
  if (isForm(declared)) return uploadForm(context, parseContentType(declared)?.parameters.get("boundary"));
  const filename = fileNameOf(fields.get("content-disposition")) ?? context.query.get("filename");
  const naming = { filename, type: mediaTypeIn(declared) };
  if (wantsResumable(context)) return createUpload(context, naming);
  refuseUrlEncoded(context.exchange);
  if (!context.exchange.hasContent) {
    throw new FixityError("missing-file", "The request has no content. Send the file as the content, or in a form.");
  }
  return storeContent(context, naming);
}

/** Stores a request's content, held against its length and its digest fields in the header and trailer sections. */
export async function storeContent(context: RouteContext, options: PutOptions): Promise<Answer> {
  const { fixity, exchange, admission } = context;
  const length = contentLength(exchange);
  const announced = demandOf(exchange.fields);
  const sha512 = announced.sha512 !== null || announcesTrailerDigest(exchange.fields);
  const body = sha512 ? new HashedSource(exchange.body, ["sha512"]) : null;
  if (announced.sha256 !== null && options.digest?.equals(announced.sha256) === false) {
    throw new FixityError("digest-mismatch", "The link and the digest field name different bytes.");
  }
  const receipt = await fixity.put(body ?? exchange.body, {
    ...options,
    admission,
    length,
    digest: options.digest ?? announced.sha256 ?? undefined,
    signal: exchange.signal,
    beforeCommit: ({ digest }) => {
      // storing hashes by SHA-256 in any case; a SHA-512 has to be announced
      const trailing = trailerDemandOf(exchange, true);
      if (trailing.sha256 !== null && !trailing.sha256.equals(digest)) {
        throw new FixityError(
          "digest-mismatch",
          "The bytes that came in are not those that the trailer's digest names.",
        );
      }
      if (trailing.sha512 !== null && body === null) {
        throw new FixityError(
          "unsupported-digest",
          "A sha-512 that follows the content has to be announced: Trailer: Repr-Digest.",
        );
      }
      if (body !== null) assertDigests(body, announced, trailing);
    },
  });
  return receiptAnswer(context, receipt);
}
