import { formatSize } from "../../base/format-size.ts";
import { isInert } from "../serving.ts";
import { Html, html } from "./html.ts";
import { metaOf } from "./meta.ts";
import type { Preview } from "./preview.ts";
import { previewElement } from "./preview-element.ts";
import { SCRIPT } from "./script.ts";
import { labelOf, nameQuery, type ShownFile } from "./shown-file.ts";
import { snippetsOf } from "./snippets.ts";
import { STYLE } from "./style.ts";

/** The service's icon, in the page itself: an address of its own might be somebody else's. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E" +
  "%3Crect width='32' height='32' rx='8' fill='%230b6e4f'/%3E%3Cpath d='m9 16.5 5 5L23.5 11' fill='none' " +
  "stroke='%23fff' stroke-width='3.5' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

// byte for byte as their hashes in the policy are of
const STYLE_ELEMENT = Html.asIs(`<style>${STYLE}</style>`);
const SCRIPT_ELEMENT = Html.asIs(`<script>${SCRIPT}</script>`);

/** The page about a stored file. Its own links are relative to the link, so that they hold behind every proxy. */
export function renderPage(file: ShownFile, preview: Preview): string {
  const { link, mediaType, size } = file;
  const label = labelOf(file);
  return document(
    label,
    metaOf(file, preview),
    html`<header>
        <span class="tile" aria-hidden="true">${tileOf(link.extension)}</span>
        <div>
          <h1 dir="auto">${label}</h1>
          <p>${formatSize(size)}</p>
        </div>
        ${actions(file)}
      </header>
      <figure class="preview">${previewElement(preview, label)}</figure>
      <section aria-labelledby="facts">
        <h2 id="facts">About the file</h2>
        <dl>
          <div>
            <dt>Size</dt>
            <dd>${exactSize(size)}</dd>
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
        <dl>${copies(file)}</dl>
      </section>
      <footer><p>The link names the SHA-256 of the file, so what it leads to never changes.</p></footer>
      <p role="status"></p>
      ${SCRIPT_ELEMENT}`,
  );
}

/** The page for a request that failed. */
export function renderFailure(title: string, text: string): string {
  return document(
    title,
    null,
    html`<section class="lost">
      <h1>${title}</h1>
      <p>${text}</p>
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
        ${STYLE_ELEMENT}
      </head>
      <body>
        <main>${content}</main>
      </body>
    </html> `.toString();
}

/** What browsers would not show is a download wherever it is opened; a second button would be the same as the first. */
function actions(file: ShownFile): Html {
  const { link, name } = file;
  const query = nameQuery(file);
  const download = `${link.toString()}${query === "" ? "?" : `${query}&`}download`;
  const open = html`<a href="${link.toString() + query}">Open</a>`;
  return html`<div class="actions">
    <a class="download" href="${download}" download="${name ?? link.toString()}">Download</a>
    ${isInert(link.mediaType) ? open : null}
  </div>`;
}

/** Links in these are relative where the service does not know its own address; the script, which does, makes them whole. */
function copies(file: ShownFile): readonly Html[] {
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

function exactSize(size: number): string {
  const exact = size === 1 ? "1 byte" : `${size.toLocaleString("en-US")} bytes`;
  return size < 1024 ? exact : `${formatSize(size)} (${exact})`;
}
