import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** The style sheet and script that pages contain, and their sources for a policy. */
export interface PageAssets {
  readonly style: string;
  readonly script: string;
  /** Sources for a Content-Security-Policy: `'sha256-…'`. */
  readonly styleSource: string;
  readonly scriptSource: string;
}

let assets: PageAssets | undefined;

/** Read once, when the first page is rendered. */
export function pageAssets(): PageAssets {
  assets ??= readAssets();
  return assets;
}

/** The build of the package replaces each of these calls with the text of the file. */
function readAssets(): PageAssets {
  const theme = readFileSync(new URL("../../base/theme.css", import.meta.url), "utf8");
  const style = theme + readFileSync(new URL("./link-page.css", import.meta.url), "utf8");
  const script = readFileSync(new URL("./link-page.js", import.meta.url), "utf8");
  return { style, script, styleSource: sourceOf(style), scriptSource: sourceOf(script) };
}

function sourceOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
