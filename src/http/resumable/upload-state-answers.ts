import { asFixityError, FixityError } from "../../core/errors.ts";
import type { Fixity } from "../../core/fixity.ts";
import { uploadNotFound } from "../../core/upload-id.ts";
import type { UploadState } from "../../core/uploads/upload-state.ts";
import type { Uploads } from "../../core/uploads/uploads.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { formatLimits } from "../fields/upload-fields.ts";
import { problemAnswer } from "../problem.ts";
import type { Interop } from "./interop.ts";

/** The uploads of a service. @throws FixityError `upload-not-found` where its store cannot keep any */
export function uploadsOf({ uploads }: Fixity): Uploads {
  if (uploads === null) throw uploadNotFound();
  return uploads;
}

/** `Upload-Limit`, with the lifetime of one upload or of any. */
export function limitsField(uploads: Uploads, { ageLimit }: Interop, expires?: Date): string {
  const { maxSize, maxAppendSize, minAppendSize, expiry } = uploads.limits;
  const remaining = expires === undefined ? expiry : expires.getTime() - Date.now();
  return formatLimits({
    "max-size": maxSize,
    "max-append-size": maxAppendSize,
    ...(minAppendSize > 0 && { "min-append-size": minAppendSize }),
    ...(ageLimit !== null && { [ageLimit]: Math.max(0, Math.floor(remaining / 1000)) }),
  });
}

/** An answer with more fields. */
export function withFields(answer: Answer, fields: Readonly<Record<string, string>>): Answer {
  return { ...answer, fields: { ...answer.fields, ...fields } };
}

/** The answer to a request that failed, with fields of its protocol. */
export function failureAnswer(exchange: Exchange, thrown: unknown, fields: Readonly<Record<string, string>>): Answer {
  const error = exchange.signal.aborted ? clientGone(thrown) : asFixityError(thrown);
  const offset = error.facts[error.code === "shutting-down" ? "upload-offset" : "expected-offset"];
  return withFields(problemAnswer(error), {
    ...fields,
    ...(offset !== undefined && { "Upload-Offset": String(offset) }),
  });
}

/** That a client leaves is no fault of ours, and nothing but the log will see the answer. */
export function clientGone(cause: unknown): FixityError {
  if (cause instanceof FixityError) return cause;
  return new FixityError("upload-aborted", "The client went away before it was answered.", { cause });
}

/** For the log. */
export function noteOf({ offset, outcome }: UploadState): Answer["note"] & object {
  if (outcome === null) return { size: offset };
  if (outcome instanceof Error) return { error: outcome };
  return { digest: outcome.digest.toString(), size: outcome.size, existed: outcome.existed };
}
