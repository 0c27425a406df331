import { ERRORS, type FixityError } from "../../core/errors.ts";
import { type Answer, type Exchange, withFields } from "../exchange.ts";
import { prefersHtml } from "../fields/accept.ts";
import { PAGE_SAFETY, problemAnswer } from "../problem.ts";
import { renderFailure } from "./page.ts";
import { pageAssets } from "./page-assets.ts";
import type { Preview } from "./preview.ts";

/** The answer with a page as its content; for `HEAD`, with the page's length only. */
export function pageAnswer(exchange: Exchange, answer: Answer, page: string): Answer {
  const fields = { ...answer.fields, "Content-Type": "text/html; charset=utf-8" };
  if (exchange.method !== "HEAD") return { ...answer, fields, body: page };
  return { ...answer, fields: { ...fields, "Content-Length": String(Buffer.byteLength(page)) }, body: undefined };
}

/**
 * The answer for a failure that people may see: a page for browsers, the problem document for
 * programs.
 */
export function problemOrPage(exchange: Exchange, error: FixityError, text: string = error.message): Answer {
  const problem = withFields(problemAnswer(error), { Vary: "Accept" });
  if (!prefersHtml(exchange.fields.get("accept"))) return problem;
  const fields = { ...PAGE_SAFETY, "Content-Security-Policy": policyOf(null, null) };
  return pageAnswer(exchange, withFields(problem, fields), renderFailure(ERRORS[error.code].title, text));
}

/** The directive that governs each kind of preview. */
const DIRECTIVES = { image: "img-src", video: "media-src", audio: "media-src", text: "frame-src" } as const;

/**
 * The Content-Security-Policy of a page: it may use its own inline style and script, identified by
 * their hashes, and load the one file that it displays. It sends nothing anywhere, and no other
 * page can frame it.
 *
 * @param preview `null` for a page with neither a file nor a script
 * @param origin from where files are loaded, or `null` for the page's own origin: a policy applies
 *   to redirects as well
 */
export function policyOf(preview: Preview | null, origin: string | null): string {
  const { styleSource, scriptSource } = pageAssets();
  const files = origin === null ? "'self'" : `'self' ${origin}`;
  const directive = preview === null || preview.kind === "none" ? null : DIRECTIVES[preview.kind];
  return [
    "default-src 'none'",
    `style-src ${styleSource}`,
    ...(preview === null ? [] : [`script-src ${scriptSource}`]),
    // The icon is a `data:` URL.
    directive === "img-src" ? `img-src data: ${files}` : "img-src data:",
    ...(directive === null || directive === "img-src" ? [] : [`${directive} ${files}`]),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
