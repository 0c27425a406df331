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
  /** Makes the query of a link to the file: the name of a download, and where needed a signature. */
  readonly queryOf: QueryMaker;
}

/** Makes the query of a link, with its question mark; empty if it needs none. */
export type QueryMaker = (
  link: Link,
  options: { readonly filename: string | null; readonly download?: boolean },
) => string;

/** The queries of links that everybody may read. */
export const plainQuery: QueryMaker = (_link, { filename, download = false }) => {
  const parts = [
    ...(filename === null ? [] : [`filename=${percentEncode(filename)}`]),
    ...(download ? ["download"] : []),
  ];
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
};

/** The page's title for the file: its name, or the beginning of its digest. */
export function labelOf({ name, link }: ShownFile): string {
  if (name !== null) return name;
  const short = `${link.digest.hex.slice(0, 12)}…`;
  return link.extension === null ? short : `${short}.${link.extension}`;
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
  const link = file.url + file.queryOf(file.link, { filename: file.name });
  const embedded = file.url + file.queryOf(file.link, { filename: null });
  const isImage = file.mediaType.startsWith("image/");
  const text = escapeMarkdown(isImage ? (file.name ?? "") : labelOf(file));
  const markdown = isImage ? `![${text}](${embedded})` : `[${text}](${link})`;
  return { link, markdown, html: htmlOf(file, link, embedded) };
}

function htmlOf(file: ShownFile, link: string, url: string): string {
  const [type = "", subtype = ""] = file.mediaType.split(/[/;]/);
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
