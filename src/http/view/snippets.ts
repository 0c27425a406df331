import { percentEncode } from "../../base/percent-encode.ts";
import type { Link } from "../../core/link.ts";
import { html } from "./html.ts";

/** The file that a page is about. */
export interface ShownFile {
  readonly link: Link;
  /** The media type that the link is served with. */
  readonly mediaType: string;
  /** The link as clients get it, relative or absolute, without a query. */
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** The file's cleaned name, from the page's own URL, or `null`. */
  readonly name: string | null;
}

/** The page's title for the file: its name, or the beginning of its digest. */
export function labelOf({ name, link }: ShownFile): string {
  if (name !== null) return name;
  const short = `${link.digest.hex.slice(0, 12)}…`;
  return link.extension === null ? short : `${short}.${link.extension}`;
}

/** The query of a link that gives a download the file's name; empty without one. */
export function nameQuery({ name }: ShownFile): string {
  return name === null ? "" : `?filename=${percentEncode(name)}`;
}

/** A link in formats to copy into other documents. */
export interface Snippets {
  readonly link: string;
  readonly markdown: string;
  readonly html: string;
}

/**
 * The snippets for a file. HTML has `integrity` for scripts and style sheets only, which files are
 * only if the service allows it; otherwise their type is plain text.
 */
export function snippetsOf(file: ShownFile): Snippets {
  // The name is for downloads. Embedded files need none, and one URL for all embeddings is loaded
  // once.
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

/** Escapes what would end or format a link's text (CommonMark, section 2.4). */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_[\]<>&~|!]/g, "\\$&");
}
