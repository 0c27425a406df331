import type { Locale } from "@uppy/core/utils";
import { en, type Texts } from "./en.ts";

type Load<T> = () => Promise<T>;

/** The page's own words in other languages. Each is a file of its own, fetched where it is wanted. */
const TEXTS: Readonly<Record<string, Load<{ readonly texts: Texts }>>> = {
  de: () => import("./de.ts"),
  es: () => import("./es.ts"),
  fr: () => import("./fr.ts"),
};

/** Uppy's words, by the names of its files, such as `../../../node_modules/@uppy/locales/lib/de_DE.js`. */
const UPPY = Object.entries(
  import.meta.glob<Locale>(
    ["../../../node_modules/@uppy/locales/lib/*_*.js", "!../../../node_modules/@uppy/locales/lib/en_US.js"],
    { import: "default" },
  ),
).map(([path, load]) => ({ name: /([^/]+)\.js$/.exec(path)?.[1] ?? "", load }));

/** Chinese and Serbian are written in two ways each, which browsers tell by script or by country. */
const WRITTEN: readonly (readonly [tag: RegExp, name: string])[] = [
  [/^zh-(?:hant|tw|hk|mo)\b/i, "zh_TW"],
  [/^zh\b/i, "zh_CN"],
  [/^sr-(?:latn|.*-latn)\b/i, "sr_RS_Latin"],
  [/^sr\b/i, "sr_RS_Cyrillic"],
  [/^no\b/i, "nb_NO"],
];

/** How the page speaks. */
export interface Language {
  readonly texts: Texts;
  /** Of {@link texts}. */
  readonly lang: string;
  /** `null` for Uppy's own English. */
  readonly uppy: Locale | null;
  /** Of {@link uppy}. */
  readonly uppyLang: string;
}

/** The first of the wanted languages that each of the two has; English where none is, or its file does not come. */
export async function loadLanguage(wanted: readonly string[]): Promise<Language> {
  const [own, uppy] = await Promise.all([loadTexts(wanted), loadUppy(wanted)]);
  return { ...own, ...uppy };
}

async function loadTexts(wanted: readonly string[]): Promise<Pick<Language, "texts" | "lang">> {
  const english = { texts: en, lang: "en" };
  const lang = wanted.map(primary).find((tag) => tag === "en" || tag in TEXTS);
  const load = lang === undefined ? undefined : TEXTS[lang];
  if (lang === undefined || load === undefined) return english;
  return load().then(
    ({ texts }) => ({ texts, lang }),
    () => english,
  );
}

async function loadUppy(wanted: readonly string[]): Promise<Pick<Language, "uppy" | "uppyLang">> {
  const english = { uppy: null, uppyLang: "en" };
  for (const tag of wanted) {
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

function localeFor(tag: string): (typeof UPPY)[number] | undefined {
  const name = WRITTEN.find(([pattern]) => pattern.test(tag))?.[1] ?? tag.replace("-", "_");
  const exact = UPPY.find((locale) => locale.name.toLowerCase() === name.toLowerCase());
  return exact ?? UPPY.find((locale) => locale.name.startsWith(`${primary(tag)}_`));
}

function primary(tag: string): string {
  return tag.split("-")[0]?.toLowerCase() ?? "";
}

/** A text with something in its places. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** Puts the words into what the document has of them in English. */
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
