import { uploadNotFound } from "../../core/upload-id.ts";
import type { UploadState } from "../../core/uploads/upload-record.ts";
import type { Uploads } from "../../core/uploads/uploads.ts";
import { type Answer, type AnswerNote, type Exchange, withFields } from "../exchange.ts";
import { failureOf, problemAnswer } from "../problem.ts";
import type { AdmittedRequest } from "../request.ts";

/**
 * The resumable uploads of the service.
 *
 * @throws FixityError `upload-not-found` if its store cannot hold any
 */
export function uploadsOf({ fixity: { uploads } }: AdmittedRequest): Uploads {
  if (uploads === null) throw uploadNotFound();
  return uploads;
}

/** The answer to a failed request for an upload, with its offset if the failure states one. */
export function uploadFailureAnswer(
  exchange: Exchange,
  thrown: unknown,
  fields: Readonly<Record<string, string>> = {},
): Answer {
  const error = failureOf(exchange, thrown);
  const offset = error.facts[error.code === "shutting-down" ? "upload-offset" : "expected-offset"];
  return withFields(problemAnswer(error), {
    ...fields,
    ...(offset !== undefined && { "Upload-Offset": String(offset) }),
  });
}

/** The note on an upload, for the log. */
export function noteOf({ offset, outcome }: UploadState): AnswerNote {
  if (outcome === null) return { size: offset };
  if (outcome instanceof Error) return { error: outcome };
  return { digest: outcome.digest.toString(), size: outcome.size, existed: outcome.existed };
}
