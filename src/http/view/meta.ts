import { formatSize } from "../../base/format-size.ts";
import { type Html, html } from "./html.ts";
import type { Preview } from "./preview.ts";
import { labelOf, nameQuery, type ShownFile } from "./shown-file.ts";

/** What chats draw, too, that know no other image types than these. */
const DRAWN = /^image\/(?:gif|jpeg|png|webp)$/;

/**
 * What programs are told that show a link in small, such as chats (https://ogp.me). Addresses are among it only where the
 * service knows its own: they have to be absolute, and what a request says of its host is not believed.
 */
export function metaOf(file: ShownFile, preview: Preview): Html {
  const { link, mediaType, url, size } = file;
  const description = `${mediaType.split(";", 1)[0]}, ${formatSize(size)}, ${link.digest.toString()}`;
  return html`<meta name="description" content="${description}" />
    <meta property="og:type" content="website" />
    <meta property="og:title" content="${labelOf(file)}" />
    <meta property="og:description" content="${description}" />
    ${URL.canParse(url) ? addresses(file, preview) : null}`;
}

function addresses(file: ShownFile, preview: Preview): Html {
  const query = nameQuery(file);
  const view = `${file.url}${query === "" ? "?" : `${query}&`}view`;
  const { mediaType } = file;
  const image =
    preview.kind === "image" && DRAWN.test(mediaType)
      ? html`<meta property="og:image" content="${file.url}" />
          <meta property="og:image:type" content="${mediaType}" />
          <meta name="twitter:card" content="summary_large_image" /> `
      : null;
  return html`<link rel="canonical" href="${view}" />
    <meta property="og:url" content="${view}" />
    ${image}`;
}
