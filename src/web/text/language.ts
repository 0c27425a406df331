import type { Locale } from "@uppy/core/utils";
import { en, type Texts } from "./en.ts";

type Load<T> = () => Promise<T>;

/**
 * The page's own texts in other languages, each in a file that is fetched on demand.
 */
const TEXTS: Readonly<Record<string, Load<{ readonly texts: Texts }>>> = {
  de: () => import("./de.ts"),
  es: () => import("./es.ts"),
  fr: () => import("./fr.ts"),
};

/**
 * Uppy's locales, by the names of their files, such as
 * `../../../node_modules/@uppy/locales/lib/de_DE.js`.
 */
const UPPY_LOCALES = Object.entries(
  import.meta.glob<Locale>(
    ["../../../node_modules/@uppy/locales/lib/*_*.js", "!../../../node_modules/@uppy/locales/lib/en_US.js"],
    { import: "default" },
  ),
).map(([path, load]) => ({ name: /([^/]+)\.js$/.exec(path)?.[1] ?? "", load }));

/**
 * Locales that a tag does not name directly: Chinese and Serbian have two scripts each, Norwegian
 * has two tags.
 */
const LOCALE_NAMES: readonly (readonly [tag: RegExp, name: string])[] = [
  [/^zh-(?:hant|tw|hk|mo)\b/i, "zh_TW"],
  [/^zh\b/i, "zh_CN"],
  [/^sr-(?:latn|.*-latn)\b/i, "sr_RS_Latin"],
  [/^sr\b/i, "sr_RS_Cyrillic"],
  [/^no\b/i, "nb_NO"],
];

/** The languages of the page and of Uppy in it, which may differ. */
export interface Language {
  readonly texts: Texts;
  /** The language of {@link texts}. */
  readonly lang: string;
  /** `null` for Uppy's built-in English. */
  readonly uppy: Locale | null;
  /** The language of {@link uppy}. */
  readonly uppyLang: string;
}

/**
 * Loads the first preferred language that exists, for the page and for Uppy separately. It is
 * English if none exists, or if the file cannot be loaded.
 */
export async function loadLanguage(preferred: readonly string[]): Promise<Language> {
  const [own, uppy] = await Promise.all([loadTexts(preferred), loadUppy(preferred)]);
  return { ...own, ...uppy };
}

async function loadTexts(preferred: readonly string[]): Promise<Pick<Language, "texts" | "lang">> {
  const english = { texts: en, lang: "en" };
  const lang = preferred.map(primary).find((tag) => tag === "en" || tag in TEXTS);
  const load = lang === undefined ? undefined : TEXTS[lang];
  if (lang === undefined || load === undefined) return english;
  return load().then(
    ({ texts }) => ({ texts, lang }),
    () => english,
  );
}

async function loadUppy(preferred: readonly string[]): Promise<Pick<Language, "uppy" | "uppyLang">> {
  const english = { uppy: null, uppyLang: "en" };
  for (const tag of preferred) {
    if (primary(tag) === "en") return english;
    const found = localeFor(tag);
    if (found === undefined) continue;
    const [uppyLang = ""] = found.name.split("_");
    return found.load().then(
      (uppy) => ({ uppy, uppyLang }),
      () => english,
    );
  }
  return english;
}

function localeFor(tag: string): (typeof UPPY_LOCALES)[number] | undefined {
  const name = LOCALE_NAMES.find(([pattern]) => pattern.test(tag))?.[1] ?? tag.replace("-", "_");
  const exact = UPPY_LOCALES.find((locale) => locale.name.toLowerCase() === name.toLowerCase());
  return exact ?? UPPY_LOCALES.find((locale) => locale.name.startsWith(`${primary(tag)}_`));
}

function primary(tag: string): string {
  return tag.split("-")[0]?.toLowerCase() ?? "";
}

/** Replaces each `{name}` of a text by a value. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(values[name] ?? placeholder));
}

/** Replaces the English texts of the document. */
export function translate(document: Document, { texts, lang }: Language): void {
  const known = (name: string | undefined): string | undefined => texts[name as keyof Texts];
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = known(element.dataset["text"]) ?? element.textContent;
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.ariaLabel = known(element.dataset["label"]) ?? element.ariaLabel;
  }
}
