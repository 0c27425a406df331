import { escapeMarkup } from "../../base/escape-markup.ts";
import type { Result } from "./result.ts";

/** What is copied of a file. */
export type Format = "link" | "markdown" | "html";

/** The text of a file in a format. */
export function snippet(result: Result, format: Format): string {
  if (format === "link") return result.url;
  return format === "markdown" ? markdownOf(result) : htmlOf(result);
}

/** Whether HTML checks the file's `integrity`: it has the attribute for scripts and style sheets only (HTML, 4.2.4 and 4.12.1). */
export function hasIntegrity({ type }: Result): boolean {
  return isScript(type) || isStyle(type);
}

function markdownOf({ type, name, url }: Result): string {
  // what would end the text or begin something else
  const text = name.replace(/[\\`*_[\]<>!&]/g, String.raw`\$&`).replace(/\s+/g, " ");
  return `${isPicture(type) ? "!" : ""}[${text}](${url})`;
}

/** The element that shows the file; a link where HTML has none for its type. */
function htmlOf(result: Result): string {
  const { type, name } = result;
  const url = escapeMarkup(result.url);
  const text = escapeMarkup(name);
  // a script or style sheet is checked only where it is fetched as one of another origin would be
  const checked = `integrity="${escapeMarkup(result.integrity)}" crossorigin="anonymous"`;
  if (isScript(type)) return `<script src="${url}" ${checked}></script>`;
  if (isStyle(type)) return `<link rel="stylesheet" href="${url}" ${checked}>`;
  if (isPicture(type)) return `<img src="${url}" alt="${text}">`;
  if (type.startsWith("video/")) return `<video src="${url}" controls></video>`;
  if (type.startsWith("audio/")) return `<audio src="${url}" controls></audio>`;
  return `<a href="${url}">${text}</a>`;
}

function isScript(type: string): boolean {
  return /^(?:text|application)\/javascript\b/.test(type);
}

function isStyle(type: string): boolean {
  return /^text\/css\b/.test(type);
}

function isPicture(type: string): boolean {
  return type.startsWith("image/");
}
