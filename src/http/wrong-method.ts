import { FixityError } from "../core/errors.ts";
import type { Answer } from "./exchange.ts";
import { problemAnswer } from "./problem.ts";

/** The answer to a method that an address does not know; `Allow` says which it knows (RFC 9110, section 15.5.6). */
export function wrongMethod(method: string, methods: string): Answer {
  const error = new FixityError("method-not-allowed", `${method} is not one of ${methods}, which this address knows.`);
  const answer = problemAnswer(error);
  return { ...answer, fields: { ...answer.fields, Allow: methods } };
}
