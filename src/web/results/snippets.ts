import { escapeMarkup } from "../../base/escape-markup.ts";
import { linkOf, type Result } from "./result.ts";

/** What a user can copy to refer to a file. */
export type SnippetFormat = "link" | "markdown" | "html";

/** @param isNamed whether the link contains the name of the file; what is embedded needs none */
export function snippet(result: Result, format: SnippetFormat, isNamed = false): string {
  if (format === "link") return linkOf(result, isNamed);
  return format === "markdown" ? markdownOf(result, isNamed) : htmlOf(result, isNamed);
}

/**
 * Whether HTML checks the `integrity` of a file: only for scripts and style sheets (HTML, 4.2.4 and
 * 4.12.1).
 */
export function hasIntegrity({ type }: Result): boolean {
  return isScript(type) || isStyle(type);
}

function markdownOf(result: Result, isNamed: boolean): string {
  const { type, name } = result;
  // escapes what Markdown would interpret
  const text = name.replace(/[\\`*_[\]<>!&]/g, String.raw`\$&`).replace(/\s+/g, " ");
  return isPicture(type) ? `![${text}](${result.url})` : `[${text}](${linkOf(result, isNamed)})`;
}

/** The HTML element that embeds a file, or a link to it if HTML has none for its type. */
function htmlOf(result: Result, isNamed: boolean): string {
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
  return `<a href="${escapeMarkup(linkOf(result, isNamed))}">${text}</a>`;
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
