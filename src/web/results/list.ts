import { copyOnClick } from "../clipboard.ts";
import { announce, find, make } from "../dom.ts";
import { fill, type Language } from "../text/language.ts";
import { recallResults, rememberResults, type Result } from "./result.ts";
import { outcomeOf, resultRow } from "./row.ts";
import { snippet, type SnippetFormat } from "./snippets.ts";

const FORMATS: readonly SnippetFormat[] = ["link", "markdown", "html"];

/** Rows that are shown before the user asks for all. */
const FOLDED_ROWS = 20;
/**
 * Milliseconds for which results are collected: for each change of the list the page is laid out and
 * painted, which takes longer than the upload of a small file.
 */
const COLLECTION_MS = 250;

/** A stored file, with its row once it has one. */
interface Entry {
  readonly result: Result;
  readonly file: Blob | null;
  row: HTMLLIElement | null;
}

/** The links of stored files, the newest first. */
export class ResultList {
  readonly #language: Language;
  readonly #section = find(document, "#results", HTMLElement);
  readonly #list = find(document, "#list", HTMLUListElement);
  readonly #tally = find(document, "#tally", HTMLElement);
  readonly #more = find(document, "#more", HTMLButtonElement);
  #entries: readonly Entry[] = [];
  #isUnfolded = false;
  #collection: number | null = null;

  constructor(language: Language) {
    this.#language = language;
    this.#addButtons();
    this.#entries = recallResults().map((result) => ({ result, file: null, row: null }));
    this.#show();
    // what was collected is remembered even if the tab is closed now
    window.addEventListener("pagehide", () => this.#flush());
  }

  /** @param file for its thumbnail */
  add(result: Result, file: Blob | null): void {
    const { texts } = this.#language;
    this.#entries = [{ result, file, row: null }, ...this.#entries];
    announce(fill(texts.storedName, { name: result.name, outcome: outcomeOf(result, this.#language) }));
    this.#collection ??= window.setTimeout(() => this.#flush(), this.#entries.length === 1 ? 0 : COLLECTION_MS);
  }

  /** Moves the focus to the first row's button, where keyboard users continue. */
  focus(): void {
    this.#flush();
    this.#list.querySelector<HTMLElement>(".copy")?.focus();
  }

  #addButtons(): void {
    const { texts } = this.#language;
    const group = find(document, "#copy-all", HTMLElement);
    for (const format of FORMATS) {
      const button = make("button", { type: "button", textContent: format === "link" ? texts.links : texts[format] });
      button.ariaLabel = `${texts.copyAll}: ${button.textContent}`;
      copyOnClick(button, texts, () => this.#entries.map(({ result }) => snippet(result, format)).join("\n"));
      group.append(button);
    }
    group.prepend(make("span", { textContent: texts.copyAll, ariaHidden: "true" }));
    find(document, "#clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    this.#more.addEventListener("click", () => {
      this.#isUnfolded = !this.#isUnfolded;
      this.#show();
      // the button has moved to the end of what was unfolded
      if (this.#isUnfolded) this.#entries[FOLDED_ROWS]?.row?.querySelector<HTMLElement>(".copy")?.focus();
    });
  }

  #flush(): void {
    if (this.#collection === null) return;
    clearTimeout(this.#collection);
    this.#collection = null;
    rememberResults(this.#entries.map(({ result }) => result));
    this.#show();
  }

  #clear(): void {
    this.#entries = [];
    rememberResults([]);
    this.#show();
  }

  /** Brings the list up to date. Rows that exist stay as they are, and keep the focus. */
  #show(): void {
    const { texts } = this.#language;
    const count = this.#entries.length;
    const shown = this.#isUnfolded ? this.#entries : this.#entries.slice(0, FOLDED_ROWS);
    const rows = new Set(shown.map((entry) => (entry.row ??= resultRow(entry.result, this.#language, entry.file))));
    for (const row of this.#list.querySelectorAll<HTMLLIElement>(".file")) if (!rows.has(row)) row.remove();
    let place = this.#list.firstElementChild;
    for (const row of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row, place);
    }
    this.#section.hidden = count === 0;
    this.#tally.textContent = fill(texts.tally, { count });
    this.#more.hidden = count <= FOLDED_ROWS;
    this.#more.textContent = this.#isUnfolded ? texts.showFewer : fill(texts.showAll, { count });
    this.#more.ariaExpanded = String(this.#isUnfolded);
    find(document, "#copy-all", HTMLElement).hidden = count < 2;
  }
}
