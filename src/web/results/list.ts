import { copyOnClick } from "../clipboard.ts";
import { announce, find, make } from "../dom.ts";
import { fill, type Language } from "../text/language.ts";
import { recallResults, rememberResults, type Result } from "./result.ts";
import { outcomeOf, resultRow } from "./row.ts";
import { snippet, type SnippetFormat } from "./snippets.ts";

const FORMATS: readonly SnippetFormat[] = ["link", "markdown", "html"];

/** The links of stored files, the newest first. */
export class ResultList {
  readonly #language: Language;
  readonly #section = find(document, "#results", HTMLElement);
  readonly #list = find(document, "#list", HTMLUListElement);
  readonly #tally = find(document, "#tally", HTMLElement);
  #results: readonly Result[] = [];

  constructor(language: Language) {
    this.#language = language;
    const { texts } = language;
    const group = find(document, "#copy-all", HTMLElement);
    for (const format of FORMATS) {
      const button = make("button", { type: "button", textContent: format === "link" ? texts.links : texts[format] });
      button.ariaLabel = `${texts.copyAll}: ${button.textContent}`;
      copyOnClick(button, texts, () => this.#results.map((result) => snippet(result, format)).join("\n"));
      group.append(button);
    }
    group.prepend(make("span", { textContent: texts.copyAll, ariaHidden: "true" }));
    find(document, "#clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    for (const result of recallResults().toReversed()) this.#show(result, null);
  }

  /** @param file for its thumbnail */
  add(result: Result, file: Blob | null): void {
    const { texts } = this.#language;
    this.#show(result, file);
    rememberResults(this.#results);
    announce(fill(texts.storedName, { name: result.name, outcome: outcomeOf(result, this.#language) }));
  }

  /** Moves the focus to the first row's button, where keyboard users continue. */
  focus(): void {
    this.#list.querySelector<HTMLElement>(".copy")?.focus();
  }

  #show(result: Result, file: Blob | null): void {
    this.#results = [result, ...this.#results];
    this.#list.prepend(resultRow(result, this.#language, file));
    this.#update();
  }

  #clear(): void {
    this.#results = [];
    rememberResults([]);
    this.#list.replaceChildren();
    this.#update();
  }

  #update(): void {
    const count = this.#results.length;
    this.#section.hidden = count === 0;
    this.#tally.textContent = fill(this.#language.texts.tally, { count });
    find(document, "#copy-all", HTMLElement).hidden = count < 2;
  }
}
