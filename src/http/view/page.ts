import { formatExactSize, formatSize } from "../../base/format-size.ts";
import { isInert, isPdf } from "../serving.ts";
import { Html, html } from "./html.ts";
import { pageAssets } from "./page-assets.ts";
import type { Preview } from "./preview.ts";
import { labelOf, plainQuery, type ShownFile, snippetsOf } from "./snippets.ts";

/** The service's icon, within the page: a URL of its own might belong to another application. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E" +
  "%3Crect width='32' height='32' rx='8' fill='%230b6e4f'/%3E%3Cpath d='m9 16.5 5 5L23.5 11' fill='none' " +
  "stroke='%23fff' stroke-width='3.5' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

/**
 * The page about a stored file. Its own links are relative to the link, so they are right behind
 * every proxy.
 */
export function renderPage(file: ShownFile, preview: Preview): string {
  const { link, mediaType, size } = file;
  const label = labelOf(file);
  return document(
    label,
    metadata(file, preview),
    html`<header>
        <span class="tile" aria-hidden="true">${tileOf(link.extension)}</span>
        <div>
          <h1 dir="auto">${label}</h1>
          <p>${formatSize(size)}</p>
        </div>
        ${actions(file)}
      </header>
      <figure class="preview">${previewElement(preview, file)}</figure>
      <section aria-labelledby="facts">
        <h2 id="facts">About the file</h2>
        <dl>
          <div>
            <dt>Size</dt>
            <dd>${formatExactSize(size)}</dd>
          </div>
          <div>
            <dt>Type</dt>
            <dd>${mediaType}</dd>
          </div>
          ${row("digest", "SHA-256", html`<code id="digest">${link.digest.hex}</code>`)}
        </dl>
      </section>
      <section aria-labelledby="share">
        <h2 id="share">To share</h2>
        <dl>${snippetRows(file)}</dl>
      </section>
      <footer><p>The link names the SHA-256 of the file, so what it leads to never changes.</p></footer>
      <p role="status"></p>
      ${Html.trusted(`<script>${pageAssets().script}</script>`)}`,
  );
}

/** A failed request, as a page states it. */
export interface ShownFailure {
  readonly title: string;
  readonly text: string;
  /** The stable code, for reports to the operator. */
  readonly code: string;
  /** The URL of the upload page, or `null`. */
  readonly home: string | null;
}

/** The page for a failed request. */
export function renderFailure({ title, text, code, home }: ShownFailure): string {
  return document(
    title,
    null,
    html`<section class="lost">
      <h1>${title}</h1>
      <p>${text}</p>
      <p><code>${code}</code></p>
      ${home === null ? null : html`<p><a href="${home}">Upload a file</a></p>`}
    </section>`,
  );
}

function document(title: string, meta: Html | null, content: Html): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        ${meta}
        <link rel="icon" href="${ICON}" />
        ${Html.trusted(`<style>${pageAssets().style}</style>`)}
      </head>
      <body>
        <main>${content}</main>
      </body>
    </html> `.toString();
}

/** The only image types that chats display in link previews. */
const CHAT_IMAGE_TYPES = /^image\/(?:gif|jpeg|png|webp)$/;

/**
 * Metadata for link previews, as in chats (https://ogp.me). URLs must be absolute there, so they
 * are included only if the service knows its own: the host in a request is not trusted.
 */
function metadata(file: ShownFile, preview: Preview): Html {
  const { link, mediaType, url, size, queryOf } = file;
  const isPublic = queryOf === plainQuery;
  const description = `${mediaType.split(";", 1)[0]}, ${formatSize(size)}, ${link.digest.toString()}`;
  return html`<meta name="description" content="${description}" />
    <meta property="og:type" content="website" />
    <meta property="og:title" content="${labelOf(file)}" />
    <meta property="og:description" content="${description}" />
    ${URL.canParse(url) && isPublic ? urlMetadata(file, preview) : null}`;
}

function urlMetadata(file: ShownFile, preview: Preview): Html {
  const query = plainQuery(file.link, { filename: file.name });
  const view = `${file.url}${query === "" ? "?" : `${query}&`}view`;
  const { mediaType } = file;
  const image =
    preview.kind === "image" && CHAT_IMAGE_TYPES.test(mediaType)
      ? html`<meta property="og:image" content="${file.url}" />
          <meta property="og:image:type" content="${mediaType}" />
          <meta name="twitter:card" content="summary_large_image" /> `
      : null;
  return html`<link rel="canonical" href="${view}" />
    <meta property="og:url" content="${view}" />
    ${image}`;
}

/** Hidden until the script finds that the browser cannot display the file. */
const UNSUPPORTED = html`<p class="reason" hidden>This browser cannot show the file. Download it to open it.</p>`;

/**
 * The element that displays a file. A text is in a fully sandboxed frame: even if a browser took it
 * for a page, it would have neither scripts nor an origin.
 */
function previewElement(preview: Preview, file: ShownFile): Html {
  const label = labelOf(file);
  if (preview.kind === "none") return html`<p class="reason">${preview.reason}</p>`;
  const source = preview.source.toString() + file.queryOf(preview.source, { filename: null });
  if (preview.kind === "image") return html`<img src="${source}" alt="${label}" />${UNSUPPORTED}`;
  if (preview.kind === "text") return html`<iframe sandbox src="${source}" title="${`Text of ${label}`}"></iframe>`;
  return preview.kind === "video"
    ? html`<video src="${source}" controls preload="metadata" aria-label="${label}"></video>${UNSUPPORTED}`
    : html`<audio src="${source}" controls preload="metadata" aria-label="${label}"></audio>${UNSUPPORTED}`;
}

/**
 * Opening what browsers do not display is a download anyway, so such files get one button. A PDF has
 * to be asked for with `?inline`, which a signed link cannot have.
 */
function actions(file: ShownFile): Html {
  const { link, name } = file;
  const download = link.toString() + file.queryOf(link, { filename: name, download: true });
  const query = file.queryOf(link, { filename: name });
  const mayOpenPdf = isPdf(link.mediaType) && file.queryOf === plainQuery;
  const shown = mayOpenPdf ? `${query === "" ? "?" : `${query}&`}inline` : query;
  const open = html`<a href="${link.toString() + shown}">Open</a>`;
  return html`<div class="actions">
    <a class="download" href="${download}" download="${name ?? link.toString()}">Download</a>
    ${isInert(link.mediaType) || mayOpenPdf ? open : null}
  </div>`;
}

/**
 * Links in the snippets are relative if the service does not know its own URL. The script, which
 * does, makes them absolute.
 */
function snippetRows(file: ShownFile): readonly Html[] {
  const relative = html` data-given="${file.url}" data-relative="${file.link.toString()}"`;
  const attributes = URL.canParse(file.url) ? null : relative;
  const { link, markdown, html: markup } = snippetsOf(file);
  const texts = { link, markdown, html: markup };
  const names = { link: "Link", markdown: "Markdown", html: "HTML" };
  return (["link", "markdown", "html"] as const).map((id) =>
    row(id, names[id], html`<code id="${id}" dir="ltr" data-line ${attributes}>${texts[id]}</code>`),
  );
}

function row(id: string, name: string, code: Html): Html {
  const label = `Copy ${name}`;
  return html`<div>
    <dt>${name}</dt>
    <dd>${code}</dd>
    <dd><button type="button" data-copies="${id}" aria-label="${label}" hidden>Copy</button></dd>
  </div>`;
}

function tileOf(extension: string | null): string {
  return extension === null || extension.length > 5 ? "FILE" : extension.toUpperCase();
}
