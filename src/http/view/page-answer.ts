import { ERRORS, type FixityError } from "../../core/errors.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { prefersHtml } from "../fields/accept.ts";
import { PAGE_SAFETY, problemAnswer } from "../problem.ts";
import { renderFailure } from "./page.ts";
import { policyOf } from "./policy.ts";

/** The answer with this page as its content; to `HEAD`, with its length alone. */
export function pageAnswer(exchange: Exchange, answer: Answer, page: string): Answer {
  const fields = { ...answer.fields, "Content-Type": "text/html; charset=utf-8" };
  if (exchange.method !== "HEAD") return { ...answer, fields, body: page };
  return { ...answer, fields: { ...fields, "Content-Length": String(Buffer.byteLength(page)) }, body: undefined };
}

/** A failure that people may see: a page for a browser, the problem document for programs. */
export function problemOrPage(exchange: Exchange, error: FixityError, text: string = error.message): Answer {
  const problem = problemAnswer(error);
  const answer = { ...problem, fields: { ...problem.fields, Vary: "Accept" } };
  if (!prefersHtml(exchange.fields.get("accept"))) return answer;
  const fields = { ...answer.fields, ...PAGE_SAFETY, "Content-Security-Policy": policyOf(null, null) };
  return pageAnswer(exchange, { ...answer, fields }, renderFailure(ERRORS[error.code].title, text));
}
