import { ERRORS, type FixityError } from "../../core/errors.ts";
import { type Answer, type Exchange, withFields } from "../exchange.ts";
import { prefersHtml } from "../fields/accept.ts";
import { isAnyForm } from "../fields/content-type.ts";
import { PAGE_SAFETY, problemAnswer } from "../problem.ts";
import { renderFailure } from "./page.ts";
import { pageAssets } from "./page-assets.ts";
import type { Preview } from "./preview.ts";

/** The answer with a page as its content; for `HEAD`, with the page's length only. */
export function pageAnswer(exchange: Pick<Exchange, "method">, answer: Answer, page: string): Answer {
  const fields = { ...answer.fields, "Content-Type": "text/html; charset=utf-8" };
  if (exchange.method !== "HEAD") return { ...answer, fields, body: page };
  return { ...answer, fields: { ...fields, "Content-Length": String(Buffer.byteLength(page)) }, body: undefined };
}

/** What decides whether a browser displays the answer to a request. */
type Navigation = Pick<Exchange, "method" | "target" | "fields">;

/**
 * The answer for a failure: a page for browsers that display it, the problem document for programs.
 *
 * @param hasHome whether the server has an upload page at its root, to which the page links
 */
export function problemOrPage(exchange: Navigation, error: FixityError, hasHome: boolean): Answer {
  const problem = problemAnswer(error);
  if (!mayBeNavigation(exchange)) return problem;
  const varying = withFields(problem, { Vary: "Accept" });
  if (!prefersHtml(exchange.fields.get("accept"))) return varying;
  const page = failurePage(error, hasHome ? homeFrom(exchange.target) : null);
  if (page === null) return varying;
  const fields = { ...PAGE_SAFETY, "Content-Security-Policy": policyOf(null, null) };
  return pageAnswer(exchange, withFields(varying, fields), page);
}

/** `null` if the page's style sheet cannot be read, as without a free file descriptor. */
function failurePage({ code, message: text }: FixityError, home: string | null): string | null {
  try {
    return renderFailure({ title: ERRORS[code].title, text, code, home });
  } catch {
    return null;
  }
}

/**
 * Browsers navigate by links and by forms, and send `Origin` with the latter. Other requests are made
 * by programs, even if they prefer HTML, as Java's HttpURLConnection does.
 */
function mayBeNavigation({ method, fields }: Navigation): boolean {
  if (method === "GET" || method === "HEAD") return true;
  return method === "POST" && isAnyForm(fields.get("content-type")) && fields.get("origin") !== undefined;
}

/** The server's root, relative to a path: a proxy may serve it below a path of its own. */
function homeFrom(target: string): string {
  const [path = ""] = target.split("?", 1);
  // Targets may be any text, such as the `*` of `OPTIONS *` (RFC 9112, 3.2).
  if (!path.startsWith("/")) return "./";
  return "../".repeat(path.split("/").length - 2) || "./";
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
