import { copyOnClick } from "../clipboard.ts";
import { announce, find, make } from "../dom.ts";
import { fill, type Language } from "../text/language.ts";
import { read, write } from "../storage.ts";
import type { History } from "./history.ts";
import type { Result } from "./result.ts";
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

/** Present if links shall have the name of their file. */
const NAMED_KEY = "fixity:named-links";

/** The links of stored files, the newest first. */
export class ResultList {
  readonly #language: Language;
  readonly #history: History;
  readonly #section = find(document, "#results", HTMLElement);
  readonly #list = find(document, "#list", HTMLUListElement);
  readonly #tally = find(document, "#tally", HTMLElement);
  readonly #more = find(document, "#more", HTMLButtonElement);
  readonly #keep = find(document, "#keep", HTMLInputElement);
  readonly #named = find(document, "#named", HTMLInputElement);
  #entries: readonly Entry[] = [];
  #collected: readonly Entry[] = [];
  #isUnfolded = false;
  #collection: number | null = null;

  constructor(language: Language, history: History) {
    this.#language = language;
    this.#history = history;
    this.#addButtons();
    this.#recall();
    history.onChange(() => this.#recall());
    // what was collected is kept even if the tab is closed now
    window.addEventListener("pagehide", () => this.#flush());
  }

  /** @param file for its thumbnail */
  add(result: Result, file: Blob | null): void {
    const { texts } = this.#language;
    this.#collected = [{ result, file, row: null }, ...this.#collected];
    announce(fill(texts.storedName, { name: result.name, outcome: outcomeOf(result, this.#language) }));
    this.#collection ??= window.setTimeout(() => this.#flush(), COLLECTION_MS);
  }

  /** Shows and keeps the links of this tab only, from now on. */
  leaveDevice(): void {
    this.#flush();
    this.#history.leaveDevice();
    this.#entries = [];
    this.#recall();
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
      copyOnClick(button, texts, () =>
        this.#entries.map(({ result }) => snippet(result, format, this.#named.checked)).join("\n"),
      );
      group.append(button);
    }
    group.prepend(make("span", { textContent: texts.copyAll, ariaHidden: "true" }));
    find(document, "#clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    this.#keep.addEventListener("change", () => {
      this.#history.keepOnDevice(
        this.#keep.checked,
        this.#entries.map(({ result }) => result),
      );
    });
    this.#named.checked = read("device", NAMED_KEY) !== null;
    this.#named.addEventListener("change", () => {
      write("device", NAMED_KEY, this.#named.checked ? "on" : null);
      this.#entries = this.#entries.map((entry) => ({ ...entry, row: null }));
      this.#show();
    });
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
    const before = [...this.#collected, ...this.#entries];
    this.#collected = [];
    this.#update(this.#history.add(before.map(({ result }) => result)), before);
  }

  /** Shows what is kept. */
  #recall(): void {
    this.#update(this.#history.recall(), this.#entries);
  }

  /** Shows these results, in the rows that they have. */
  #update(results: readonly Result[], before: readonly Entry[]): void {
    const known = new Map(before.toReversed().map((entry) => [keyOf(entry.result), entry]));
    this.#entries = results.map((result) => known.get(keyOf(result)) ?? { result, file: null, row: null });
    this.#show();
  }

  #clear(): void {
    this.#history.clear();
    this.#entries = [];
    this.#show();
  }

  /** Brings the list up to date. Rows that exist stay as they are, and keep the focus. */
  #show(): void {
    const { texts } = this.#language;
    const count = this.#entries.length;
    const shown = this.#isUnfolded ? this.#entries : this.#entries.slice(0, FOLDED_ROWS);
    const rows = new Set(shown.map((entry) => (entry.row ??= this.#row(entry))));
    for (const row of this.#list.querySelectorAll<HTMLLIElement>(".file")) if (!rows.has(row)) row.remove();
    let place = this.#list.firstElementChild;
    for (const row of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row, place);
    }
    this.#section.hidden = count === 0;
    this.#tally.textContent = fill(texts.tally, { count });
    this.#keep.checked = this.#history.isOnDevice;
    find(document, "#keep-label", HTMLElement).hidden = !this.#history.mayUseDevice;
    this.#more.hidden = count <= FOLDED_ROWS;
    this.#more.textContent = this.#isUnfolded ? texts.showFewer : fill(texts.showAll, { count });
    this.#more.ariaExpanded = String(this.#isUnfolded);
    find(document, "#copy-all", HTMLElement).hidden = count < 2;
  }

  #row({ result, file }: Entry): HTMLLIElement {
    return resultRow(result, { language: this.#language, file, isNamed: this.#named.checked });
  }
}

function keyOf({ url, name, time }: Result): string {
  return `${time} ${url} ${name}`;
}
