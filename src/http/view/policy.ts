import { createHash } from "node:crypto";
import type { Preview } from "./preview.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

const STYLE_SOURCE = sourceOf(STYLE);
const SCRIPT_SOURCE = sourceOf(SCRIPT);

/** The directive that a preview is loaded under. */
const DIRECTIVES = { image: "img-src", video: "media-src", audio: "media-src", text: "frame-src" } as const;

/**
 * What a page about a file may do: use its own style and script, which stand in it and are known by their hashes, and load the
 * one file that it shows. It sends nothing anywhere, and no other page can frame it.
 *
 * @param preview `null` for a page that has neither file nor script
 * @param origin where the bytes of files come from, where that is not our own: a redirect is followed to allowed places only
 */
export function policyOf(preview: Preview | null, origin: string | null): string {
  const bytes = origin === null ? "'self'" : `'self' ${origin}`;
  const loads = preview === null || preview.kind === "none" ? null : DIRECTIVES[preview.kind];
  return [
    "default-src 'none'",
    `style-src ${STYLE_SOURCE}`,
    ...(preview === null ? [] : [`script-src ${SCRIPT_SOURCE}`]),
    // for the icon, which stands in the page as well
    loads === "img-src" ? `img-src data: ${bytes}` : "img-src data:",
    ...(loads === null || loads === "img-src" ? [] : [`${loads} ${bytes}`]),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function sourceOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
