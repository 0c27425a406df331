/**
 * The permit of an outsider (docs/access.md): `/#permit=fxp1…`. The page takes it out of the address,
 * keeps it for the tab, and sends it with every request. What the permit says of itself is shown, and
 * files that it does not allow are refused before anything is sent. Only the server knows whether it
 * is valid.
 */
import { mimeTypes } from "@uppy/core/utils";
import type { PageSettings } from "./settings.ts";
import { announce, find } from "./dom.ts";
import { formatSize } from "./format.ts";
import { read, write } from "./storage.ts";
import { fill, type Language } from "./text/language.ts";
import type { Texts } from "./text/en.ts";

const PERMIT_KEY = "permit";

/** What a permit states about itself. Nothing proves it to the page. */
interface PermitTerms {
  /** Bytes; `null` if it names the only content that it allows. */
  readonly maxSize: number | null;
  /** `null` for all. */
  readonly types: readonly string[] | null;
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly once: boolean;
}

/** Why the server refuses a permit. */
type Refusal = "permitExpired" | "permitUsed" | "permitInvalid";

/** A file as the user has chosen it. */
interface ChosenFile {
  readonly name: string;
  readonly type: string;
}

/**
 * Takes the permit out of the address bar, so that the address can be shown, copied and bookmarked
 * without it. `null` if the address has none.
 */
export function takePermit(): string | null {
  const [, text] = /^#permit=(.*)$/.exec(location.hash) ?? [];
  if (text === undefined) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  return text;
}

/** Returns the permit with which the page was opened earlier in this tab, or `null`. */
export function recallPermit(): string | null {
  return read("tab", PERMIT_KEY);
}

/** A permit, and the note in which the page explains it. */
export class Permit {
  readonly #text: string;
  readonly #terms: PermitTerms | null;
  readonly #language: Language;
  readonly #settings: PageSettings;
  readonly #note = find(document, "#permit", HTMLElement);
  #refusal: Refusal | null;

  constructor(text: string, { language, settings }: { language: Language; settings: PageSettings }) {
    this.#text = text;
    write("tab", PERMIT_KEY, text);
    this.#language = language;
    this.#settings = settings;
    this.#terms = readTerms(text);
    // mail programs cut long links
    this.#refusal = this.#terms === null ? "permitInvalid" : null;
    this.#show();
  }

  /** Whether nothing can be sent with it. */
  get isMissing(): boolean {
    return this.#refusal !== null;
  }

  /** The header fields for each request to the service. */
  get headers(): Readonly<Record<string, string>> {
    return { Authorization: `Bearer ${this.#text}` };
  }

  /** What it allows, as Uppy's restrictions. */
  get restrictions(): { readonly maxFileSize: number; readonly maxNumberOfFiles: number | null } {
    const { maxSize = null, once = false } = this.#terms ?? {};
    return {
      maxFileSize: Math.min(this.#settings.maxSize, maxSize ?? Infinity),
      maxNumberOfFiles: once ? 1 : null,
    };
  }

  /** States again why nothing can be sent. */
  request(): void {
    announce(this.#show());
  }

  /** Shows that the server has refused it. Returns whether a response does that. */
  refuse(status: number | undefined, code: unknown): boolean {
    const refusal = this.#refusalIn(status, code);
    if (refusal === null) return false;
    const isNews = this.#refusal !== refusal;
    this.#refusal = refusal;
    if (isNews) this.request();
    return true;
  }

  /** A file was stored with it. */
  use(): void {
    if (this.#terms?.once !== true) return;
    this.#refusal = "permitUsed";
    announce(this.#show("permitDone"));
  }

  /** The reason why it does not allow a file; `null` if it may allow it. */
  reasonAgainst(file: ChosenFile): string | null {
    const types = this.#terms?.types ?? null;
    if (types === null || mayBeOf(file, types)) return null;
    return fill(this.#language.texts.permitWrongType, { name: file.name, types: this.#words(types) });
  }

  #refusalIn(status: number | undefined, code: unknown): Refusal | null {
    if (code === "permit-used") return "permitUsed";
    if (code === "access-expired") return "permitExpired";
    if (status !== 401) return null;
    return this.#terms !== null && this.#terms.expires <= Date.now() ? "permitExpired" : "permitInvalid";
  }

  #show(state: Refusal | "permitDone" | null = this.#refusal): string {
    const { texts } = this.#language;
    const message = state === null ? this.#description(texts) : texts[state];
    this.#note.textContent = message;
    this.#note.classList.toggle("wrong", state !== null && state !== "permitDone");
    this.#note.hidden = false;
    return message;
  }

  #description(texts: Texts): string {
    const { maxSize = null, types = null, expires = 0, once = false } = this.#terms ?? {};
    const { locale } = this.#language;
    const until = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(expires);
    return [
      fill(once ? texts.permitOnce : texts.permitAllows, {
        limit: formatSize(this.restrictions.maxFileSize, this.#language),
        until,
      }),
      ...(types === null ? [] : [fill(texts.permitTypes, { types: this.#words(types) })]),
      ...(maxSize === null ? [texts.permitContent] : []),
    ].join(" ");
  }

  /** `images, application/pdf and .docx`. */
  #words(types: readonly string[]): string {
    const { texts, locale } = this.#language;
    const words: Readonly<Record<string, string>> = {
      "image/*": texts.images,
      "video/*": texts.videos,
      "audio/*": texts.audio,
      "text/*": texts.textFiles,
      "application/pdf": "PDF",
    };
    return new Intl.ListFormat(locale).format(types.map((type) => words[type] ?? type));
  }
}

/** Reads the payload of a permit; `null` if it is none. */
function readTerms(text: string): PermitTerms | null {
  const [, encoded] = /^fxp1\.([\w-]{1,2048})\.[\w-]{1,100}$/.exec(text) ?? [];
  if (encoded === undefined) return null;
  try {
    const bytes = Uint8Array.from(atob(encoded.replaceAll("-", "+").replaceAll("_", "/")), (char) =>
      char.charCodeAt(0),
    );
    const { maxSize, types, expires, once } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    // beyond that there are no dates (ECMA-262, section 21.4.1.1)
    if (typeof expires !== "number" || !(Math.abs(expires) < 8.64e12)) return null;
    return {
      maxSize: typeof maxSize === "number" ? maxSize : null,
      // shown, so nothing but types may pass
      types: Array.isArray(types) ? types.map(String).filter((type) => /^[\w.+/*-]{1,128}$/.test(type)) : null,
      expires: expires * 1000,
      once: once === true,
    };
  } catch {
    return null;
  }
}

/**
 * Whether a file may be of one of these types. The server decides by the extension, for which
 * browsers have other types on some systems: what is not certain is left to the server.
 */
function mayBeOf({ name, type }: ChosenFile, types: readonly string[]): boolean {
  const extension = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  if (types.includes(`.${extension}`)) return true;
  const listed = types.filter((entry) => entry.includes("/"));
  const known: Readonly<Record<string, string>> = mimeTypes;
  const guesses = [type, known[extension] ?? ""].flatMap((guess) => guess.split(";", 1));
  const certain = guesses.filter((guess) => guess !== "" && guess !== "application/octet-stream");
  if (certain.length === 0) return listed.length > 0;
  return listed.some((entry) =>
    certain.some((guess) => (entry.endsWith("/*") ? guess.startsWith(entry.slice(0, -1)) : guess === entry)),
  );
}
