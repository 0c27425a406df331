import { FixityClientError } from "./errors.ts";

/** Redirects that one request follows. */
export const MAX_REDIRECTS = 5;

const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Fields that a browser may keep while it follows a redirect by itself: it takes `Authorization` away when the origin
 * changes (Fetch, HTTP-redirect fetch), and the others hold no secret. Every other field would reach the target.
 */
const SAFE_WHEN_FOLLOWED: ReadonlySet<string> = new Set([
  "accept",
  "accept-language",
  "authorization",
  "content-language",
]);

type Fields = Readonly<Record<string, string>>;

/**
 * Where a response redirects to; `null` for any other response.
 *
 * @throws FixityClientError `unexpected-answer` for a target that is not followed
 */
export function redirectTarget(from: string, status: number, location: string | null): string | null {
  if (!REDIRECT_STATUSES.has(status) || location === null) return null;
  return targetIn(location, from, status);
}

/**
 * An address that the server names, made absolute.
 *
 * @throws FixityClientError `unexpected-answer` if it is no http(s) URL, or leaves https for http
 */
export function targetIn(location: string, from: string, status: number): string {
  const target = URL.parse(location, from);
  const isHttp = target !== null && /^https?:$/.test(target.protocol);
  if (isHttp && !(from.startsWith("https:") && target.protocol === "http:")) return target.href;
  const shown = JSON.stringify(location.slice(0, 200));
  const reason = isHttp ? "which would leave https for http" : "which is no http(s) URL";
  throw new FixityClientError("unexpected-answer", `The server refers to ${shown}, ${reason}.`, { status });
}

/** Whether a browser that follows a redirect would show one of these fields to another origin. */
export function needManualRedirects(fields: Fields): boolean {
  return Object.keys(fields).some((name) => !SAFE_WHEN_FOLLOWED.has(name.toLowerCase()));
}

/** The fields that a browser keeps from other origins by itself. */
export function safeWhenFollowed(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => SAFE_WHEN_FOLLOWED.has(name.toLowerCase())));
}
