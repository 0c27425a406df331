import { encode } from "uqr";
import { copyOnClick } from "../clipboard.ts";
import { make } from "../dom.ts";
import { formatSize } from "../format.ts";
import { fill, type Language } from "../text/language.ts";
import { linkOf, type Result } from "./result.ts";
import { hasIntegrity, snippet } from "./snippets.ts";

/** How an upload ended, in a few words. */
export function outcomeOf({ existed, sent, removed }: Result, language: Language): string {
  const { texts } = language;
  const outcome = existed ? (sent === 0 ? texts.nothingSent : texts.existed) : texts.stored;
  if (removed === 0) return outcome;
  return `${outcome} · ${fill(texts.stripped, { size: formatSize(removed, language) })}`;
}

/** How a row shows a stored file. */
interface RowOptions {
  readonly language: Language;
  /** For the thumbnail, if the page still has it. */
  readonly file: Blob | null;
  /** Whether the link contains the name of the file. */
  readonly isNamed: boolean;
}

/** Creates the row of a stored file. */
export function resultRow(result: Result, options: RowOptions): HTMLLIElement {
  const { language, file, isNamed } = options;
  const { texts } = language;
  const { name, size, existed, time } = result;
  const url = linkOf(result, isNamed);
  const copy = make("button", { type: "button", className: "strong copy", textContent: texts.copyLink });
  copy.ariaLabel = `${texts.copyLink} (${name})`;
  copyOnClick(copy, texts, () => url);
  const about = make("div", { className: "about" }, [
    make("bdi", { className: "name", textContent: name, title: name }),
    make("p", { className: "outcome" }, [
      make("span", { textContent: formatSize(size, language) }),
      make("span", { className: existed ? "state existed" : "state", textContent: outcomeOf(result, language) }),
      ...(time === 0 ? [] : [timeOf(time, language)]),
    ]),
    make("a", { className: "link", href: url, textContent: url.replace(/^https?:\/\//, ""), title: url }),
  ]);
  return make("li", { className: "file" }, [thumbnail(name, file), about, copy, sharing(result, options)]);
}

function timeOf(time: number, { locale }: Language): HTMLTimeElement {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  const format = new Intl.DateTimeFormat(locale, isToday ? { timeStyle: "short" } : { dateStyle: "medium" });
  return make("time", { dateTime: date.toISOString(), textContent: format.format(date) });
}

/** The foldable part of a row. Its content is created when it is opened for the first time. */
function sharing(result: Result, options: RowOptions): HTMLDetailsElement {
  const { texts } = options.language;
  const summary = make("summary", { textContent: texts.share });
  summary.ariaLabel = `${texts.share} (${result.name})`;
  const details = make("details", { className: "more" }, [summary]);
  details.addEventListener("toggle", () => details.append(sharingPanel(result, options)), { once: true });
  return details;
}

function sharingPanel(result: Result, { language: { texts }, isNamed }: RowOptions): HTMLElement {
  // the server does not know the file's name
  const named = `${result.url}?view&filename=${encodeURIComponent(result.name)}`;
  const page = make("a", { href: named, textContent: texts.filePage });
  return make("div", { className: "panel" }, [
    qrCode(linkOf(result, isNamed), texts.qrCode),
    make("div", { className: "snippets" }, [
      line(texts.link, linkOf(result, false)),
      line(texts.linkNamed, linkOf(result, true)),
      line(texts.markdown, snippet(result, "markdown", isNamed)),
      line(texts.html, snippet(result, "html", isNamed)),
      ...(hasIntegrity(result) ? [make("p", { className: "note", textContent: texts.integrityKept })] : []),
      line(texts.digest, result.digest),
      make("p", { className: "own-page" }, [page]),
    ]),
  ]);

  function line(label: string, text: string): HTMLElement {
    const button = make("button", { type: "button", textContent: texts.copyCommand });
    button.ariaLabel = `${fill(texts.copyWhat, { what: label })} (${result.name})`;
    copyOnClick(button, texts, () => text);
    return make("div", { className: "snippet" }, [
      make("span", { className: "label", textContent: label }),
      make("code", { textContent: text, title: text }),
      button,
    ]);
  }
}

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
/** The margin that cameras need to find the code, in modules (ISO/IEC 18004). */
const QUIET_ZONE_MODULES = 4;

/** Draws a QR code as an element of the page: no image is loaded, so no policy has to allow it. */
function qrCode(text: string, label: string): SVGSVGElement {
  const { data, size } = encode(text, { ecc: "M", border: QUIET_ZONE_MODULES });
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("shape-rendering", "crispEdges");
  const path = document.createElementNS(SVG_NAMESPACE, "path");
  const squares = data.map((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")).join(""));
  path.setAttribute("d", squares.join(""));
  svg.append(path);
  return svg;
}

/** Picture types that every browser decodes, and in which nothing can run. */
const THUMBNAIL_TYPES: ReadonlySet<string> = new Set([
  "image/avif",
  "image/gif",
  "image/jpeg",
  "image/png",
  "image/webp",
]);
/** Decoding a larger picture costs too much for a few pixels. */
const THUMBNAIL_SOURCE_MAX_BYTES = 20 * 1024 * 1024;
/** The side of a thumbnail: twice that of its place, for high-resolution screens. */
const THUMBNAIL_SIDE_PX = 112;

/** A thumbnail of a picture; for any other file its extension. */
function thumbnail(name: string, file: Blob | null): HTMLElement {
  const extension = /[^.]\.([a-z0-9]{1,5})$/i.exec(name)?.[1]?.toUpperCase() ?? "FILE";
  const place = make("span", { className: "thumb", textContent: extension, ariaHidden: "true" });
  if (file !== null && THUMBNAIL_TYPES.has(file.type) && file.size <= THUMBNAIL_SOURCE_MAX_BYTES) {
    void drawThumbnail(file, place);
  }
  return place;
}

async function drawThumbnail(file: Blob, place: HTMLElement): Promise<void> {
  try {
    const bitmap = await createImageBitmap(file);
    const side = THUMBNAIL_SIDE_PX;
    const scale = side / Math.min(bitmap.width, bitmap.height);
    const canvas = make("canvas", { width: side, height: side });
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d")?.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
    bitmap.close();
    place.replaceChildren(canvas);
  } catch {
    // not a picture after all: the extension stays
  }
}
