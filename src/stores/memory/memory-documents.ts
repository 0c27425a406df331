import {
  assertDocumentName,
  assertDocumentPrefix,
  assertDocumentText,
  type DocumentStore,
  type ListedDocument,
  type StoredDocument,
  type WriteCondition,
} from "../../core/document-store.ts";

/** Documents in the memory of this process. */
export class MemoryDocuments implements DocumentStore {
  readonly isConditional = true;
  readonly #documents = new Map<string, StoredDocument>();
  /** Never reused, so that no tag returns. */
  #writes = 0;

  async read(name: string, signal?: AbortSignal): Promise<StoredDocument | null> {
    assertDocumentName(name);
    signal?.throwIfAborted();
    return this.#documents.get(name) ?? null;
  }

  async write(name: string, text: string, { ifAbsent, ifMatch }: WriteCondition = {}): Promise<string | null> {
    assertDocumentName(name);
    assertDocumentText(text);
    const current = this.#documents.get(name);
    if (ifAbsent === true && current !== undefined) return null;
    if (ifMatch !== undefined && current?.tag !== ifMatch) return null;
    this.#writes += 1;
    const tag = String(this.#writes);
    this.#documents.set(name, { text, tag });
    return tag;
  }

  async remove(name: string, ifMatch?: string): Promise<boolean> {
    assertDocumentName(name);
    if (ifMatch !== undefined && this.#documents.get(name)?.tag !== ifMatch) return false;
    return this.#documents.delete(name);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ListedDocument> {
    assertDocumentPrefix(prefix);
    signal?.throwIfAborted();
    for (const [name, { tag }] of this.#documents) {
      signal?.throwIfAborted();
      if (name.startsWith(prefix)) yield { name, tag };
    }
  }
}
