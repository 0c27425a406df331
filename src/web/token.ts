/**
 * The token of a server that requires one. The user enters it, or opens a colleague's link
 * `/#token=…`; a permit can be entered in the same field. The server checks a token as soon as it is
 * entered (`OPTIONS` with credentials). It is kept for the tab, or on the device if the user wants
 * that.
 */
import { announce, find } from "./dom.ts";
import type { PageSettings } from "./settings.ts";
import { read, write } from "./storage.ts";
import type { Texts } from "./text/en.ts";

const TOKEN_KEY = "token";
const DEVICE_KEY = "fixity:token";

/** What the server says about a token. */
type Verdict = "valid" | "invalid" | "forbidden" | "unknown";

/**
 * Takes the token out of the address bar, so that the address can be shown, copied and bookmarked
 * without it. `null` if the address has none.
 */
export function takeToken(): string | null {
  const text = secretIn(location.hash, "token");
  if (text === null) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  return text;
}

/** The secret in an address such as `https://files.example.com/#token=…`; `null` if it has none. */
function secretIn(address: string, name: "token" | "permit"): string | null {
  const [, text] = new RegExp(`#${name}=(.+)$`).exec(address) ?? [];
  if (text === undefined) return null;
  try {
    return decodeURIComponent(text).trim();
  } catch {
    return text.trim();
  }
}

interface TokenOptions {
  readonly settings: PageSettings;
  readonly texts: Texts;
  /** The token in the page's address. */
  readonly given: string | null;
  /** Called each time the user has entered a token that may be valid. */
  readonly onEntered: () => void;
  /** Called if the user has entered a permit. */
  readonly onPermit: (text: string) => void;
}

export class Token {
  readonly #options: TokenOptions;
  readonly #form = find(document, "#token-form", HTMLFormElement);
  readonly #input = find(document, "#token", HTMLInputElement);
  readonly #remember = find(document, "#token-remember", HTMLInputElement);
  readonly #note = find(document, "#token-note", HTMLElement);
  #value = "";

  constructor(options: TokenOptions) {
    this.#options = options;
    const { settings, texts, given } = options;
    this.#form.hidden = !settings.needsToken;
    if (!settings.needsToken) return;
    const onDevice = read("device", DEVICE_KEY);
    this.#remember.checked = onDevice !== null;
    this.#value = read("tab", TOKEN_KEY) ?? onDevice ?? "";
    this.#input.value = this.#value;
    if (this.#value !== "") this.#show(onDevice === null ? texts.tokenUsed : texts.tokenKept);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.enter(this.#input.value);
    });
    this.#remember.addEventListener("change", () => {
      if (this.#value !== "") this.#keep();
    });
    if (given !== null) void this.enter(given);
  }

  get isMissing(): boolean {
    return this.#options.settings.needsToken && this.#value === "";
  }

  /** The header fields for each request to the service. */
  get headers(): Readonly<Record<string, string>> {
    return this.#value === "" ? {} : { Authorization: `Bearer ${this.#value}` };
  }

  /** A permit is used instead. */
  hide(): void {
    this.#form.hidden = true;
  }

  /** Uses a token, or the permit or link that was entered instead, if the server does not refuse it. */
  async enter(entered: string): Promise<void> {
    const { settings, texts, onEntered, onPermit } = this.#options;
    const text = entered.trim();
    const permit = text.startsWith("fxp1.") ? text : secretIn(text, "permit");
    if (permit !== null) return onPermit(permit);
    const value = secretIn(text, "token") ?? text;
    this.#input.value = value;
    this.#show(texts.tokenChecking);
    const verdict = await verdictOn(value, settings.endpoint);
    // another one was entered meanwhile
    if (this.#input.value !== value) return;
    if (verdict === "invalid" || verdict === "forbidden") {
      this.#value = "";
      write("tab", TOKEN_KEY, null);
      if (read("device", DEVICE_KEY) === value) write("device", DEVICE_KEY, null);
      this.#reject(verdict === "invalid" ? texts.tokenUnknown : texts.tokenForbidden);
      return;
    }
    this.#value = value;
    this.#keep(verdict);
    onEntered();
  }

  /** Asks the user for a token, or for another one if the server has refused it. */
  request(): void {
    const { texts } = this.#options;
    if (this.#value === "") this.#reject(texts.tokenFirst, false);
    else this.#reject(texts.tokenUnknown);
  }

  /** Asks for another token if a response refuses this one. Returns whether it does. */
  refuse(status: number | undefined): boolean {
    if (status === 401) this.request();
    return status === 401;
  }

  #keep(verdict: Verdict = "valid"): void {
    const { texts } = this.#options;
    const isOnDevice = this.#remember.checked;
    write("tab", TOKEN_KEY, this.#value);
    write("device", DEVICE_KEY, isOnDevice ? this.#value : null);
    const place = isOnDevice ? texts.tokenKept : texts.tokenUsed;
    const message = `${verdict === "unknown" ? texts.tokenUnchecked : texts.tokenValid} ${place}`;
    this.#show(message);
    announce(message);
  }

  #reject(message: string, isWrong = true): void {
    this.#show(message, isWrong);
    announce(message);
    this.#input.focus();
    this.#input.select();
  }

  #show(message: string, isWrong = false): void {
    this.#note.textContent = message;
    this.#form.classList.toggle("wrong", isWrong);
    this.#input.ariaInvalid = String(isWrong);
  }
}

async function verdictOn(token: string, endpoint: string): Promise<Verdict> {
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const { status } = await fetch(endpoint, { method: "OPTIONS", headers, cache: "no-store" });
    if (status === 401) return "invalid";
    if (status === 403) return "forbidden";
    return status < 300 ? "valid" : "unknown";
  } catch {
    // no network, or characters that no header field can have
    return /^[\x21-\x7E]+$/.test(token) ? "unknown" : "invalid";
  }
}
