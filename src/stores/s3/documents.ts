import {
  assertDocumentName,
  assertDocumentPrefix,
  assertDocumentText,
  type DocumentStore,
  type ListedDocument,
  type StoredDocument,
  type WriteCondition,
} from "../../core/document-store.ts";
import { FixityError } from "../../core/errors.ts";
import type { S3Client } from "./api/client.ts";
import { listObjects } from "./api/listing.ts";
import { deleteObject, headObject } from "./api/objects.ts";
import { Retrier } from "./api/retry.ts";
import { S3Error } from "./api/s3-error.ts";
import { ConditionalObjects, newRevision, type NotWritten, type Revised } from "./conditional-object.ts";
import type { Conditions } from "./conditions.ts";
import type { Layout } from "./layout.ts";
import { toFixityError, withStoreErrors } from "./store-error.ts";

/** What an object under `documents/` holds: a document, or a tombstone if `text` is `null`. */
interface DocumentState extends Revised {
  readonly text: string | null;
}

/** The first line of an object: format, version and revision. */
const FIRST_LINE = /^fixity-document 1 ([0-9a-f]{32})\n/;

/**
 * Bytes of a tombstone, which is a first line alone. A document has at least one byte more, so a
 * listing shows by the size which objects are tombstones.
 */
const TOMBSTONE_BYTES = formatDocument({ revision: newRevision(), text: null }).length;

function formatDocument({ revision, text }: DocumentState): string {
  return `fixity-document 1 ${revision}\n${text ?? ""}`;
}

function parseDocument(content: string): DocumentState {
  const [line, revision] = FIRST_LINE.exec(content) ?? [];
  if (line === undefined || revision === undefined) {
    throw new FixityError("store-unavailable", "The document was not written by this version of the service.");
  }
  const text = content.slice(line.length);
  return { revision, text: text === "" ? null : text };
}

/** Whether an object of this size (bytes) under `documents/` is a tombstone. */
export function isTombstoneSize(size: number): boolean {
  return size === TOMBSTONE_BYTES;
}

/**
 * What can be an entity tag. `*` and lists would match other tags too, so anything else is never
 * sent; no document has such a tag.
 */
const ENTITY_TAG = /^"[\x21\x23-\x29\x2b\x2d-\x7e]{1,200}"$/;

/**
 * Documents as objects under `documents/`, each with its revision in the first line. The tag of a
 * document is the entity tag of its object, which is different for each revision.
 *
 * A removal with `ifMatch` replaces the object by a tombstone. No conditional DELETE is used: few
 * servers support it, and Ceph ignores the condition and deletes. The collector removes a tombstone
 * after a day ({@link collectTombstone}). Until then it counts as no document, and a write with
 * `ifAbsent` replaces it.
 *
 * Some servers accept a condition and ignore it. Before the first conditional write, each process
 * therefore tests conditions that do not hold ({@link Conditions.testRefusals}), at the price of
 * four requests.
 */
export class S3Documents implements DocumentStore {
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #conditions: Conditions;
  readonly #objects: ConditionalObjects<DocumentState>;

  constructor(client: S3Client, layout: Layout, conditions: Conditions) {
    this.#client = client;
    this.#layout = layout;
    this.#conditions = conditions;
    this.#objects = new ConditionalObjects(client, conditions, {
      contentType: "text/plain; charset=utf-8",
      format: formatDocument,
      parse: parseDocument,
    });
  }

  /**
   * False while the bucket is known to refuse or ignore `If-Match` or `If-None-Match`. What it
   * refuses is tried again after ten minutes, so this may become true again.
   */
  get isConditional(): boolean {
    return this.#conditions.usesIfMatch && this.#conditions.enforcesIfAbsent;
  }

  async read(name: string, signal?: AbortSignal): Promise<StoredDocument | null> {
    assertDocumentName(name);
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const found = await this.#objects.read(this.#layout.document(name), { signal, retryPolicy: "short" });
      if (found === null || found.state.text === null) return null;
      return { text: found.state.text, tag: found.etag };
    });
  }

  async write(name: string, text: string, { ifAbsent, ifMatch }: WriteCondition = {}): Promise<string | null> {
    assertDocumentName(name);
    assertDocumentText(text);
    const key = this.#layout.document(name);
    return withStoreErrors(async () => {
      if (ifAbsent === true) return this.#create(key, { revision: newRevision(), text });
      if (ifMatch !== undefined) return this.#replace(key, ifMatch, text);
      // A new revision for each attempt: a tag that another writer has replaced must not return.
      return this.#client.retry({}, () => this.#objects.writeOnce(key, { revision: newRevision(), text }));
    });
  }

  async remove(name: string, ifMatch?: string): Promise<boolean> {
    assertDocumentName(name);
    const key = this.#layout.document(name);
    return withStoreErrors(async () => {
      if (ifMatch !== undefined) return (await this.#replace(key, ifMatch, null)) !== null;
      const found = await headObject(this.#client, key);
      if (found === null || isTombstoneSize(found.size)) return false;
      await deleteObject(this.#client, key);
      return true;
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ListedDocument, void, undefined> {
    assertDocumentPrefix(prefix);
    signal?.throwIfAborted();
    const options = { signal, retryPolicy: "short" } as const;
    try {
      for await (const { items } of listObjects(this.#client, this.#layout.documents + prefix, options)) {
        for (const { key, size, etag } of items) {
          signal?.throwIfAborted();
          const name = this.#layout.documentNameOf(key);
          if (name === null || isTombstoneSize(size)) continue;
          if (etag === null) throw new S3Error({ operation: "ListObjectsV2", status: 200, detail: "ETag is missing" });
          yield { name, tag: etag };
        }
      }
    } catch (error) {
      throw toFixityError(error);
    }
  }

  /** Writes the first text of a document; `null` if there is one. */
  async #create(key: string, state: DocumentState): Promise<string | null> {
    await this.#conditions.testRefusals();
    const retrier = new Retrier(this.#client.retryLimits, { closed: this.#client.closed });
    for (;;) {
      const outcome = await this.#objects.create(key, state);
      if (outcome.isWritten) return outcome.etag;
      const { current, refusal } = outcome;
      if (current !== null) {
        if (current.state.text !== null) return notWritten(outcome);
        const replaced = await this.#objects.replace(key, current.etag, state);
        if (replaced.isWritten) return replaced.etag;
        if (replaced.current !== null && replaced.current.state.text !== null) return notWritten(replaced);
        // The tombstone was collected, or is another one: look again.
        continue;
      }
      if (refusal === null || (await this.#conditions.isIfAbsentUseless(refusal))) {
        return this.#objects.write(key, state);
      }
      // Another document was there at the moment of the write, or the server wants a pause (409).
      if (!(await retrier.waitToRetry(refusal))) throw refusal;
    }
  }

  /** Replaces the document with this tag, by a tombstone if `text` is `null`. */
  async #replace(key: string, tag: string, text: string | null): Promise<string | null> {
    if (!ENTITY_TAG.test(tag)) return null;
    await this.#conditions.testRefusals();
    const outcome = await this.#objects.replace(key, tag, { revision: newRevision(), text });
    return outcome.isWritten ? outcome.etag : notWritten(outcome);
  }
}

/**
 * `null`: nothing was written.
 *
 * @throws S3Error if an attempt may have been carried out, and its text replaced since
 */
function notWritten({ doubt }: NotWritten<DocumentState>): null {
  if (doubt === undefined) return null;
  throw doubt;
}

/**
 * Removes a tombstone that a listing has shown, unless it was replaced since. A document that is
 * written over the tombstone between the HEAD and the DELETE, a few milliseconds, is lost: only a
 * conditional DELETE could prevent that. So a tombstone must be old before it is collected, which
 * leaves documents alone that are removed and soon written again, and the DELETE is sent once: a
 * retry would come later. The next collection repeats it.
 */
export async function collectTombstone(client: S3Client, key: string, etag: string | null): Promise<void> {
  const found = await headObject(client, key);
  if (found === null || found.etag !== etag || !isTombstoneSize(found.size)) return;
  await client.callOnce({ operation: "DeleteObject", method: "DELETE", key }, () => null);
}
