import { newName, thisProcess } from "../../base/process-identity.ts";
import type { DocumentStore } from "../document-store.ts";
import { type Entry, formatEntries, parseEntries } from "./event.ts";
import { OutboxPage } from "./outbox-page.ts";

/** The collection of documents with events to be delivered. */
export const EVENTS_PREFIX = "events/";

/** The name of a document that shows that an owner is alive, after the owner. */
const ALIVE = "alive";

/** How long a change that nothing waits for may wait for others, so that they share a write. */
const LAZY_FLUSH_MS = 1_000;

/** A document of the collection, by its name. */
export interface OutboxDocument {
  /** The process whose it is; `null` for a document that any process may take. */
  readonly owner: string | null;
  readonly isSignOfLife: boolean;
}

/** What a name says about its document. */
export function outboxDocumentOf(name: string): OutboxDocument {
  const id = name.slice(EVENTS_PREFIX.length);
  const dot = id.lastIndexOf(".");
  if (dot < 0) return { owner: null, isSignOfLife: false };
  return { owner: id.slice(0, dot), isSignOfLife: id.slice(dot + 1) === ALIVE };
}

/** The name of a new document that any process may take. */
export function newSharedName(prefix: string = EVENTS_PREFIX): string {
  return `${prefix}${Date.now().toString(36)}-${crypto.randomUUID()}`;
}

/**
 * What this process has to deliver, in documents that only it writes: `events/<process>.<n>`, each
 * with up to 64 KiB of entries. One is enough as long as the receiver keeps up.
 */
export class Outbox {
  /** Names this process, and this outbox in it. */
  readonly owner: string = newName(thisProcess());
  readonly #documents: DocumentStore;
  readonly #log: (message: string, cause?: unknown) => void;
  readonly #pages: OutboxPage[] = [];
  readonly #places = new Map<string, OutboxPage>();
  #created = 0;
  #timer: NodeJS.Timeout | null = null;
  #showsLife = false;
  #couldFlush = true;

  constructor(documents: DocumentStore, log: (message: string, cause?: unknown) => void) {
    this.#documents = documents;
    this.#log = log;
  }

  /** Entries. */
  get count(): number {
    return this.#places.size;
  }

  has(id: string): boolean {
    return this.#places.has(id);
  }

  /**
   * Adds entries, or replaces those of the same events, durably.
   *
   * @throws FixityError a `store-…` code; the entries stay in memory, and become durable with a later
   *   write unless they are dropped
   */
  async record(entries: readonly Entry[]): Promise<void> {
    const pages = new Set<OutboxPage>();
    for (const entry of entries) pages.add(this.#put(entry));
    await Promise.all([...pages].map((page) => page.flush()));
  }

  /** Removes an entry, durably within about a second. */
  drop(id: string): void {
    this.#places.get(id)?.delete(id);
    this.#places.delete(id);
    this.#flushSoon();
  }

  /** Shows other machines that this process is alive, if it has entries that they could take over. */
  async showLife(): Promise<void> {
    if (this.count === 0 && !this.#showsLife) return;
    const name = `${EVENTS_PREFIX}${this.owner}.${ALIVE}`;
    if (this.count > 0) await this.#documents.write(name, new Date().toISOString());
    else await this.#documents.remove(name);
    this.#showsLife = this.count > 0;
  }

  /** Leaves all entries to other processes, and removes the documents of this one. */
  async release(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const page of this.#pages) {
      if (page.count > 0) {
        await this.#documents.write(newSharedName(), formatEntries(page.lines), { ifAbsent: true });
      }
      await page.remove();
    }
    if (this.#showsLife) await this.#documents.remove(`${EVENTS_PREFIX}${this.owner}.${ALIVE}`);
  }

  #put(entry: Entry): OutboxPage {
    const { id } = entry.event;
    const before = this.#places.get(id);
    if (before?.put(entry) === true) return before;
    const page = this.#pages.findLast((page) => page !== before && page.put(entry)) ?? this.#newPage(entry);
    this.#places.set(id, page);
    if (before !== undefined) {
      // It grew, and its old page has no room. A crash before both are written leaves it twice.
      before.delete(id);
      this.#flushSoon();
    }
    return page;
  }

  #newPage(entry: Entry): OutboxPage {
    const page = new OutboxPage(`${EVENTS_PREFIX}${this.owner}.${this.#created}`, this.#documents);
    this.#created += 1;
    this.#pages.push(page);
    page.put(entry);
    return page;
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#flushChanged();
    }, LAZY_FLUSH_MS).unref();
  }

  async #flushChanged(): Promise<void> {
    try {
      // The first page stays: a document that is written again costs less than a new one.
      const [first, ...others] = this.#pages;
      for (const page of others.filter(({ count }) => count === 0)) {
        this.#pages.splice(this.#pages.indexOf(page), 1);
        await page.remove();
      }
      if (first?.isChanged === true) await first.flush();
      await Promise.all(others.filter(({ count, isChanged }) => count > 0 && isChanged).map((page) => page.flush()));
      this.#couldFlush = true;
    } catch (error) {
      const message = "delivered events could not be removed from the store yet: they may be delivered again";
      if (this.#couldFlush) this.#log(message, error);
      this.#couldFlush = false;
      this.#flushSoon();
    }
  }
}

/**
 * The entries of a document; an empty list if there is none.
 *
 * @returns `null` for a document of a later version, which this one leaves alone
 */
export async function readEntries(
  documents: DocumentStore,
  name: string,
): Promise<{ readonly entries: readonly Entry[]; readonly tag: string } | null> {
  const document = await documents.read(name);
  const entries = document === null ? null : parseEntries(document.text);
  return document === null || entries === null ? null : { entries, tag: document.tag };
}
