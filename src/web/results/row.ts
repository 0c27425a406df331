import { copying } from "../clipboard.ts";
import { formatSize } from "../format.ts";
import { make } from "../find.ts";
import type { Language } from "../text/language.ts";
import { fill } from "../text/language.ts";
import { qrCode } from "./qr-code.ts";
import type { Result } from "./result.ts";
import { hasIntegrity, snippet } from "./snippets.ts";
import { thumb } from "./thumb.ts";

/** What became of a file, in a few words. */
export function outcomeOf({ existed, sent }: Result, { texts }: Language): string {
  if (!existed) return texts.stored;
  return sent === 0 ? texts.nothingSent : texts.existed;
}

/** A stored file in the list. @param file for its picture, where it is still there */
export function resultRow(result: Result, language: Language, file: Blob | null): HTMLLIElement {
  const { texts, lang } = language;
  const { name, url, size, existed } = result;
  const copy = make("button", { type: "button", className: "strong copy", textContent: texts.copyLink });
  copy.ariaLabel = `${texts.copyLink} (${name})`;
  copying(copy, texts, () => url);
  const about = make("div", { className: "about" }, [
    make("bdi", { className: "name", textContent: name, title: name }),
    make("p", { className: "outcome" }, [
      make("span", { textContent: formatSize(size, lang) }),
      make("span", { className: existed ? "state existed" : "state", textContent: outcomeOf(result, language) }),
    ]),
    make("a", { className: "link", href: url, textContent: url.replace(/^https?:\/\//, ""), title: url }),
  ]);
  return make("li", { className: "file" }, [thumb(name, file), about, copy, more(result, language)]);
}

/** All else that can be had of the file, made when it is opened for the first time. */
function more(result: Result, language: Language): HTMLDetailsElement {
  const { texts } = language;
  const summary = make("summary", { textContent: texts.share });
  summary.ariaLabel = `${texts.share} (${result.name})`;
  const details = make("details", { className: "more" }, [summary]);
  details.addEventListener("toggle", () => details.append(panel(result, language)), { once: true });
  return details;
}

function panel(result: Result, { texts }: Language): HTMLElement {
  // of the name nobody knows but this page
  const named = `${result.url}?view&filename=${encodeURIComponent(result.name)}`;
  const page = make("a", { href: named, textContent: texts.filePage });
  return make("div", { className: "panel" }, [
    qrCode(result.url, texts.qrCode),
    make("div", { className: "snippets" }, [
      line(texts.link, snippet(result, "link")),
      line(texts.markdown, snippet(result, "markdown")),
      line(texts.html, snippet(result, "html")),
      ...(hasIntegrity(result) ? [make("p", { className: "note", textContent: texts.integrityKept })] : []),
      line(texts.digest, result.digest),
      make("p", { className: "own-page" }, [page]),
    ]),
  ]);

  function line(label: string, text: string): HTMLElement {
    const button = make("button", { type: "button", textContent: texts.copyCommand });
    button.ariaLabel = `${fill(texts.copyWhat, { what: label })} (${result.name})`;
    copying(button, texts, () => text);
    return make("div", { className: "snippet" }, [
      make("span", { className: "label", textContent: label }),
      make("code", { textContent: text, title: text }),
      button,
    ]);
  }
}
