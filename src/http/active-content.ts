/**
 * Uploaded files as code of pages. A file has the origin of the service, which is often that of a
 * whole site. A script on that origin can do everything that its pages can, and a service worker
 * keeps control of it. So files must not be loaded as code:
 *
 * - By default, types that browsers load as code are served as plain text. With `nosniff`, no
 *   browser runs those.
 * - Browsers state the destination of a fetch (Fetch Metadata, `Sec-Fetch-Dest`). Destinations for
 *   which no file is meant are refused.
 */
import { FixityError } from "../core/errors.ts";
import type { Link } from "../core/link.ts";
import type { Exchange } from "./exchange.ts";

/** All types that browsers treat as JavaScript (WHATWG MIME Sniffing, "JavaScript MIME type"). */
const JAVASCRIPT =
  /^(?:application|text)\/(?:x-)?(?:java|ecma)script$|^text\/(?:javascript1\.[0-5]|jscript|livescript)$/;

/** Other types that browsers load as code, or that determine which code a page runs. */
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

/** Extensions of code with an inconspicuous media type. */
const CODE_EXTENSIONS: ReadonlySet<string> = new Set(["xsl"]);

const PLAIN_TEXT = "text/plain; charset=utf-8";

/** Whether browsers would load the content of a link as code. Depends on the extension alone. */
export function isActive({ extension, mediaType }: Link): boolean {
  if (extension === null) return false;
  return isCode(mediaType) || CODE_EXTENSIONS.has(extension);
}

/** By media type. Bounded, because media types come from a table. */
const codeTypes = new Map<string, boolean>();

function isCode(mediaType: string): boolean {
  const known = codeTypes.get(mediaType);
  if (known !== undefined) return known;
  const essence = mediaType.split(";", 1)[0] ?? "";
  const result = JAVASCRIPT.test(essence) || OTHER_CODE.has(essence);
  codeTypes.set(mediaType, result);
  return result;
}

/**
 * The media type of responses for a link: a function of its extension and the setting alone.
 *
 * @param scripts whether files may be scripts and style sheets of pages
 */
export function servedType(link: Link, scripts: boolean): string {
  return scripts || !isActive(link) ? link.mediaType : PLAIN_TEXT;
}

/**
 * On responses with active types, because the same link is refused for some destinations. Without
 * it, a browser could reuse a cached response for an image, say, as a script. Browsers reuse no
 * response for which these fields differ.
 */
export function varyOf(link: Link): Record<string, string> {
  return isActive(link) ? { Vary: "Sec-Fetch-Dest, Sec-Fetch-Site" } : {};
}

/** Destinations that control the origin, now or later, and that no file is meant for. */
const FORBIDDEN_DESTINATION = /(?:worker|worklet)$|^(?:manifest|xslt)$/;

const SCRIPT_DESTINATIONS: ReadonlySet<string> = new Set(["script", "style"]);

/**
 * Refuses to serve a file as a worker, app manifest or XSLT style sheet and, unless `scripts`, as a
 * script or style sheet of a page on the same origin. Pages of other origins cannot load scripts
 * and style sheets either without the setting, because of the media type.
 *
 * @throws FixityError `forbidden`
 */
export function refuseCodeDestination({ fields }: Exchange, scripts: boolean): void {
  const destination = tokenOf(fields.get("sec-fetch-dest") ?? "");
  // Older browsers send only this field (Service Workers, "Service-Worker").
  if (fields.get("service-worker") !== undefined || FORBIDDEN_DESTINATION.test(destination)) {
    const use = destination === "" ? "service worker" : destination;
    throw new FixityError("forbidden", `An uploaded file cannot be loaded as the ${use} of a page.`);
  }
  if (scripts || !SCRIPT_DESTINATIONS.has(destination)) return;
  if (tokenOf(fields.get("sec-fetch-site") ?? "") !== "same-origin") return;
  throw new FixityError(
    "forbidden",
    `An uploaded file cannot be loaded as a ${destination} of this site unless the service is configured with ` +
      "UPLOAD_SCRIPTS=yes (embedded: the option scripts).",
  );
}

/**
 * The token in a field such as `Sec-Fetch-Dest`: an item (RFC 9651) whose parameters are ignored.
 */
function tokenOf(field: string): string {
  if (field === "") return "";
  return (field.split(";", 1)[0] ?? "").trim().toLowerCase();
}
