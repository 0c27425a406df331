import { asFixityError, type ErrorCode } from "../../core/errors.ts";
import type { Answer } from "../exchange.ts";
import { formatBoolean } from "../fields/upload-fields.ts";
import type { RouteContext } from "../handler.ts";
import { interopOf } from "./interop.ts";
import { failureAnswer, limitsField, uploadsOf, withFields } from "./upload-state-answers.ts";

/** Failures in which the upload protocol speaks, and not the resource that the upload is meant for. */
const PROTOCOL_FAILURES: ReadonlySet<ErrorCode> = new Set([
  "append-limit-exceeded",
  "append-too-small",
  "inconsistent-length",
  "offset-mismatch",
  "upload-aborted",
  "upload-stalled",
  "upload-superseded",
]);

/**
 * Answers a request that creates an upload by its route. Where the route throws, no upload has been created, and
 * `Upload-Complete` says who refuses ("Completeness"): `?1` the targeted resource, so that sending the rest is of no use,
 * `?0` the upload protocol. A fault of the server's is `?0` as well: `?1` would forbid to try again.
 */
export async function answerCreation(context: RouteContext, route: () => Promise<Answer>): Promise<Answer> {
  try {
    return await route();
  } catch (error) {
    const answer = refusal(context, error);
    const isFinal = answer.status < 500 && !PROTOCOL_FAILURES.has(asFixityError(error).code);
    return withFields(answer, { "Upload-Complete": formatBoolean(isFinal), "Upload-Limit": limitsOf(context) });
  }
}

/** Answers a request to an upload by its route. What the route throws is the upload resource's own word. */
export async function answerAppend(context: RouteContext, route: () => Promise<Answer>): Promise<Answer> {
  try {
    return await route();
  } catch (error) {
    return refusal(context, error);
  }
}

/** Failures by which a limit is enforced. */
const LIMIT_FAILURES: ReadonlySet<ErrorCode> = new Set([
  "append-limit-exceeded",
  "append-too-small",
  "size-limit-exceeded",
]);

/** The answer to a request that failed; it does not come from processing the whole upload unless `fields` say so. */
export function refusal(context: RouteContext, error: unknown, fields: Readonly<Record<string, string>> = {}): Answer {
  const answer = failureAnswer(context.exchange, error, { "Upload-Complete": formatBoolean(false), ...fields });
  // "When a request is rejected because limits were violated, the response SHOULD include the Upload-Limit" ("Limits")
  if (!LIMIT_FAILURES.has(asFixityError(error).code)) return answer;
  return { ...answer, fields: { "Upload-Limit": limitsOf(context), ...answer.fields } };
}

function limitsOf({ fixity, exchange }: RouteContext): string {
  return limitsField(uploadsOf(fixity), interopOf(exchange.fields));
}
