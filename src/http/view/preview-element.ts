import { type Html, html } from "./html.ts";
import type { Preview } from "./preview.ts";

/** What is hidden until the script finds that the browser cannot show the file. */
const NOT_SHOWN = html`<p class="reason" hidden>This browser cannot show the file. Download it to open it.</p>`;

/**
 * The element that shows a file. A text stands in a frame that may do nothing at all: should a browser ever take it for a page,
 * it would have neither scripts nor an origin.
 *
 * @param label what the file is called
 */
export function previewElement(preview: Preview, label: string): Html {
  if (preview.kind === "none") return html`<p class="reason">${preview.reason}</p>`;
  const source = preview.source.toString();
  if (preview.kind === "image") return html`<img src="${source}" alt="${label}" />${NOT_SHOWN}`;
  if (preview.kind === "text") return html`<iframe sandbox src="${source}" title="${`Text of ${label}`}"></iframe>`;
  return preview.kind === "video"
    ? html`<video src="${source}" controls preload="metadata" aria-label="${label}"></video>${NOT_SHOWN}`
    : html`<audio src="${source}" controls preload="metadata" aria-label="${label}"></audio>${NOT_SHOWN}`;
}
