import { announce, find } from "./dom.ts";
import { read, write } from "./storage.ts";
import type { Texts } from "./text/en.ts";

const TOKEN_KEY = "token";

/** The token of a server that needs one. The user enters it, and the tab remembers it. */
export class Token {
  readonly #texts: Texts;
  readonly #form = find(document, "#token-form", HTMLFormElement);
  readonly #input = find(document, "#token", HTMLInputElement);
  readonly #note = find(document, "#token-note", HTMLElement);
  readonly #isNeeded: boolean;
  #value: string;

  /** @param onEntered called each time the user has entered a token */
  constructor(isNeeded: boolean, texts: Texts, onEntered: () => void) {
    this.#isNeeded = isNeeded;
    this.#texts = texts;
    this.#value = isNeeded ? (read("tab", TOKEN_KEY) ?? "") : "";
    this.#form.hidden = !isNeeded;
    this.#input.value = this.#value;
    if (this.#value !== "") this.#show(texts.tokenUsed);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#value = this.#input.value.trim();
      write("tab", TOKEN_KEY, this.#value);
      this.#show(texts.tokenUsed);
      onEntered();
    });
  }

  get isMissing(): boolean {
    return this.#isNeeded && this.#value === "";
  }

  /** The header fields for each request to the service. */
  get headers(): Readonly<Record<string, string>> {
    return this.#value === "" ? {} : { Authorization: `Bearer ${this.#value}` };
  }

  /** A permit is used instead. */
  hide(): void {
    this.#form.hidden = true;
  }

  /** Asks the user for a token, or for another one if the server has refused it. */
  request(): void {
    const isWrong = this.#value !== "";
    const message = isWrong ? this.#texts.tokenUnknown : this.#texts.tokenFirst;
    this.#show(message, isWrong);
    announce(message);
    this.#input.focus();
    this.#input.select();
  }

  /** Asks for another token if a response refuses this one. Returns whether it does. */
  refuse(status: number | undefined): boolean {
    if (status === 401) this.request();
    return status === 401;
  }

  #show(message: string, isWrong = false): void {
    this.#note.textContent = message;
    this.#form.classList.toggle("wrong", isWrong);
    this.#input.ariaInvalid = String(isWrong);
  }
}
