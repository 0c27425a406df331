import { html } from "./html.ts";
import { labelOf, nameQuery, type ShownFile } from "./shown-file.ts";

/** A link in the words of another page. */
export interface Snippets {
  readonly link: string;
  readonly markdown: string;
  readonly html: string;
}

/**
 * What to copy into other pages. HTML has `integrity` for scripts and style sheets only, which files are only if the service
 * is set up for that; otherwise their type is plain text.
 */
export function snippetsOf(file: ShownFile): Snippets {
  // the name is for who saves the file; what is embedded by one address is loaded once
  const link = file.url + nameQuery(file);
  const isImage = file.mediaType.startsWith("image/");
  const text = escapeMarkdown(isImage ? (file.name ?? "") : labelOf(file));
  const markdown = isImage ? `![${text}](${file.url})` : `[${text}](${link})`;
  return { link, markdown, html: htmlOf(file, link) };
}

function htmlOf(file: ShownFile, link: string): string {
  const [type = "", subtype = ""] = file.mediaType.split(/[/;]/);
  const { url } = file;
  const { integrity } = file.link.digest;
  if (type === "image") return html`<img src="${url}" alt="${file.name ?? ""}" />`.toString();
  if (type === "video") return html`<video src="${url}" controls></video>`.toString();
  if (type === "audio") return html`<audio src="${url}" controls></audio>`.toString();
  if (subtype === "javascript") {
    const module = file.link.extension === "mjs" ? html` type="module"` : null;
    return html`<script${module} src="${url}" integrity="${integrity}" crossorigin="anonymous"></script>`.toString();
  }
  if (subtype === "css") {
    return html`<link rel="stylesheet" href="${url}" integrity="${integrity}" crossorigin="anonymous" />`.toString();
  }
  return html`<a href="${link}">${labelOf(file)}</a>`.toString();
}

/** What would end or format a link's text (CommonMark, section 2.4). */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_[\]<>&~|!]/g, "\\$&");
}
