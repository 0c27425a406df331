import { DOCUMENT_MAX_BYTES, type DocumentStore } from "../document-store.ts";
import { FixityError } from "../errors.ts";
import { EMPTY_BYTES, type Entry, formatEntries, formatEntry } from "./event.ts";

/** Writes that another process's change of the document may make necessary. */
const ATTEMPTS_MAX = 5;

/**
 * One document of an outbox: entries in memory, which {@link flush} makes durable. Only this process
 * writes the document; a process that takes the outbox over removes it. Then the next write, which
 * names the tag of the one before, fails and creates it again.
 */
export class OutboxPage {
  readonly name: string;
  readonly #documents: DocumentStore;
  /** The lines of the document by the id of their event. */
  readonly #lines = new Map<string, string>();
  #size = EMPTY_BYTES;
  /** Of the stored document; `null` if there is none. */
  #tag: string | null = null;
  /** Not after a write that failed: what it has done is unknown. */
  #isTagKnown = true;
  #running: Promise<void> | null = null;
  #queued: Promise<void> | null = null;
  /** Whether the entries differ from the stored ones. */
  #isChanged = false;

  constructor(name: string, documents: DocumentStore) {
    this.name = name;
    this.#documents = documents;
  }

  get count(): number {
    return this.#lines.size;
  }

  /** The lines of all entries. */
  get lines(): readonly string[] {
    return [...this.#lines.values()];
  }

  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** Adds or replaces an entry; `false` if there is no room for it. */
  put(entry: Entry): boolean {
    const line = formatEntry(entry);
    const { id } = entry.event;
    const size = this.#size - sizeOf(this.#lines.get(id)) + sizeOf(line);
    if (size > DOCUMENT_MAX_BYTES) return false;
    this.#size = size;
    this.#lines.set(id, line);
    this.#isChanged = true;
    return true;
  }

  /** Removes an entry, if it is here. */
  delete(id: string): void {
    this.#size -= sizeOf(this.#lines.get(id));
    if (this.#lines.delete(id)) this.#isChanged = true;
  }

  /**
   * Makes all changes so far durable. Callers at the same time share a write: while one runs, the
   * next one gathers what they have changed.
   *
   * @throws FixityError a `store-…` code; the changes stay, and the next call tries again
   */
  flush(): Promise<void> {
    this.#queued ??= this.#flushNext();
    return this.#queued;
  }

  async #flushNext(): Promise<void> {
    // A failure is that of the callers of the running write.
    await this.#running?.catch(() => null);
    // Callers of the same moment come first.
    await Promise.resolve();
    this.#running = this.#queued;
    this.#queued = null;
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      await this.#write(formatEntries(this.#lines.values()));
    } catch (error) {
      this.#isChanged = true;
      throw error;
    }
  }

  /** Removes the document. The page is not used any more. */
  async remove(): Promise<void> {
    await this.#running?.catch(() => null);
    const tag = await this.#currentTag();
    if (tag !== null) await this.#documents.remove(this.name, tag);
  }

  async #write(text: string): Promise<void> {
    for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts += 1) {
      const tag = await this.#currentTag();
      this.#isTagKnown = false;
      const condition = tag === null ? ({ ifAbsent: true } as const) : { ifMatch: tag };
      const written = await this.#documents.write(this.name, text, condition);
      if (written === null) continue;
      this.#tag = written;
      this.#isTagKnown = true;
      return;
    }
    throw new FixityError(
      "store-busy",
      "An event could not be recorded, because its document changed again and again.",
    );
  }

  async #currentTag(): Promise<string | null> {
    if (this.#isTagKnown) return this.#tag;
    return (await this.#documents.read(this.name))?.tag ?? null;
  }
}

function sizeOf(line: string | undefined): number {
  return line === undefined ? 0 : Buffer.byteLength(line);
}
