import { FixityError } from "../core/errors.ts";
import type { Link } from "../core/link.ts";
import type { Exchange } from "./exchange.ts";

// An uploaded file has the origin of the service, which is often that of a whole site. A script on that origin can do
// whatever its pages can, and a service worker keeps control over it, so files must not be loaded as code:
// - by default, types that browsers load as code are served as plain text. With `nosniff`, no browser runs that, whoever asks;
// - browsers say what they fetch a file for (Fetch Metadata, Sec-Fetch-Dest). What no file is ever for is refused.

/** JavaScript in all the types that a browser takes for it (WHATWG MIME Sniffing, "JavaScript MIME type"), and Node's own. */
const JAVASCRIPT =
  /^(?:application|text)\/(?:x-)?(?:java|ecma)script$|^text\/(?:javascript1\.[0-5]|jscript|livescript)$/;

/** Other types that browsers load as code, or that decide which code a page runs. */
const OTHER_CODE: ReadonlySet<string> = new Set([
  "application/manifest+json",
  "application/node",
  "application/wasm",
  "application/x-web-app-manifest+json",
  "application/xslt+xml",
  "text/cache-manifest",
  "text/css",
  "text/x-component",
  "text/xsl",
]);

/** Extensions of code whose media type does not tell. */
const CODE_EXTENSIONS: ReadonlySet<string> = new Set(["xsl"]);

const PLAIN_TEXT = "text/plain; charset=utf-8";

/** Whether browsers would load what is behind a link as code. It depends on the extension alone. */
export function isActive({ extension, mediaType }: Link): boolean {
  const essence = mediaType.split(";", 1)[0] ?? "";
  return JAVASCRIPT.test(essence) || OTHER_CODE.has(essence) || CODE_EXTENSIONS.has(extension ?? "");
}

/**
 * The media type that a link is served with: a function of its extension and the setting alone.
 *
 * @param scripts whether files may be scripts and style sheets of pages
 */
export function servedType(link: Link, scripts: boolean): string {
  return scripts || !isActive(link) ? link.mediaType : PLAIN_TEXT;
}

/**
 * On responses with active types: the same link is refused for some destinations. Without it, a copy that a browser has of
 * an image, say, would also be its script. Browsers leave copies out if these fields differ.
 */
export function varyOf(link: Link): Record<string, string> {
  return isActive(link) ? { Vary: "Sec-Fetch-Dest, Sec-Fetch-Site" } : {};
}

/** Whoever controls one of these controls the origin, now or later; a file never has a reason to be one. */
const NEVER_ALLOWED = /(?:worker|worklet)$|^(?:manifest|xslt)$/;

const ALLOWED_WITH_SCRIPTS: ReadonlySet<string> = new Set(["script", "style"]);

/**
 * Refuses to send a file that a browser would load as a worker, app manifest or XSLT style sheet, and, unless `scripts`, as a
 * script or style sheet of a page on the same origin. Pages of other origins can load scripts and style sheets only with the
 * setting: by their type.
 *
 * @throws FixityError `forbidden`
 */
export function refuseCode({ fields }: Exchange, scripts: boolean): void {
  const destination = tokenOf(fields.get("sec-fetch-dest"));
  // older browsers send this one field alone (Service Workers, "Service-Worker")
  if (fields.get("service-worker") !== undefined || NEVER_ALLOWED.test(destination)) {
    const use = destination === "" ? "service worker" : destination;
    throw new FixityError("forbidden", `An uploaded file cannot be loaded as code of a page, here as its ${use}.`);
  }
  const isSameOrigin = tokenOf(fields.get("sec-fetch-site")) === "same-origin";
  if (scripts || !isSameOrigin || !ALLOWED_WITH_SCRIPTS.has(destination)) return;
  throw new FixityError(
    "forbidden",
    `An uploaded file cannot be loaded as a ${destination} of this site, unless the service is set up with ` +
      "UPLOAD_SCRIPTS=yes (embedded: the option scripts).",
  );
}

/** The token of a field such as `Sec-Fetch-Dest`, an item of RFC 9651 whose parameters have no meaning. */
function tokenOf(field = ""): string {
  return (field.split(";", 1)[0] ?? "").trim().toLowerCase();
}
