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

/**
 * The files beside this one, and the theme that the upload page shares. Read once, when the first
 * page is rendered: a bundle of an application that leaves these files behind still serves
 * everything but pages.
 */
export function pageAssets(): PageAssets {
  assets ??= readAssets();
  return assets;
}

function readAssets(): PageAssets {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
  const style = read("../../base/theme.css") + read("./link-page.css");
  const script = read("./link-page.js");
  return { style, script, styleSource: sourceOf(style), scriptSource: sourceOf(script) };
}

function sourceOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
