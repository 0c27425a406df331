import * as english from "./en.ts";
import type { Texts, Translation } from "./en.ts";

/**
 * The translations, each in a file that is fetched on demand. Each has all texts of the page and of
 * Uppy's Dashboard in it, so that a page is never in two languages. Uppy's own translations are
 * incomplete in most languages.
 */
const TRANSLATIONS: Readonly<Record<string, () => Promise<Translation>>> = {
  ar: () => import("./ar.ts"),
  de: () => import("./de.ts"),
  es: () => import("./es.ts"),
  fr: () => import("./fr.ts"),
  ja: () => import("./ja.ts"),
  pt: () => import("./pt.ts"),
  zh: () => import("./zh.ts"),
};

/** Languages that the translation for a tag's first part does not serve: traditional Chinese. */
const OTHER_SCRIPTS = /^zh-(?:hant|tw|hk|mo)\b/i;

const RIGHT_TO_LEFT: ReadonlySet<string> = new Set(["ar"]);

/** The language of the page. */
export interface Language extends Translation {
  /** For `<html lang>`. */
  readonly lang: string;
  /** For numbers and dates. */
  readonly locale: string;
  readonly direction: "ltr" | "rtl";
}

/** Loads the first preferred language that exists; English if there is none, or it cannot be loaded. */
export async function loadLanguage(preferred: readonly string[]): Promise<Language> {
  const lang =
    preferred
      .filter((tag) => !OTHER_SCRIPTS.test(tag))
      .map((tag) => tag.split("-")[0]?.toLowerCase() ?? "")
      .find((tag) => tag === "en" || Object.hasOwn(TRANSLATIONS, tag)) ?? "en";
  try {
    const translation = await TRANSLATIONS[lang]?.();
    return translation === undefined ? language(english, "en") : language(translation, lang);
  } catch {
    return language(english, "en");
  }
}

function language({ texts, dashboard }: Translation, lang: string): Language {
  return {
    texts,
    dashboard,
    lang,
    // Uppy writes numbers with Latin digits
    locale: `${lang}-u-nu-latn`,
    direction: RIGHT_TO_LEFT.has(lang) ? "rtl" : "ltr",
  };
}

/** Replaces each `{name}` of a text by a value. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(values[name] ?? placeholder));
}

/** Replaces the English texts of the document. */
export function translate(document: Document, { texts, lang, direction }: Language): void {
  const known = (name: string | undefined): string | undefined => texts[name as keyof Texts];
  document.documentElement.lang = lang;
  document.documentElement.dir = direction;
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = known(element.dataset["text"]) ?? element.textContent;
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.ariaLabel = known(element.dataset["label"]) ?? element.ariaLabel;
  }
}
