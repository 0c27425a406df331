import { escapeMarkup } from "../../base/escape-markup.ts";
import type { Result } from "./result.ts";

/** What a user can copy to refer to a file. */
export type SnippetFormat = "link" | "markdown" | "html";

export function snippet(result: Result, format: SnippetFormat): string {
  if (format === "link") return result.url;
  return format === "markdown" ? markdownOf(result) : htmlOf(result);
}

/**
 * Whether HTML checks the `integrity` of a file: only for scripts and style sheets (HTML, 4.2.4 and
 * 4.12.1).
 */
export function hasIntegrity({ type }: Result): boolean {
  return isScript(type) || isStyle(type);
}

function markdownOf({ type, name, url }: Result): string {
  // escapes what Markdown would interpret
  const text = name.replace(/[\\`*_[\]<>!&]/g, String.raw`\$&`).replace(/\s+/g, " ");
  return `${isPicture(type) ? "!" : ""}[${text}](${url})`;
}

/** The HTML element that embeds a file, or a link to it if HTML has none for its type. */
function htmlOf(result: Result): string {
  const { type, name } = result;
  const url = escapeMarkup(result.url);
  const text = escapeMarkup(name);
  // browsers check the integrity of a file from another origin only if it is fetched with CORS
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
