import { basename, dirname, join } from "node:path";
import { newName, ownerOf } from "../../../base/process-identity.ts";
import {
  assertDocumentName,
  assertDocumentPrefix,
  assertDocumentText,
  type DocumentStore,
  isDocumentName,
  type ListedDocument,
  type StoredDocument,
  type WriteCondition,
} from "../../../core/document-store.ts";
import { FixityError } from "../../../core/errors.ts";
import { namesIn } from "../blob-files.ts";
import { rename, rmdir, statOrNull } from "../calls.ts";
import { failedWith, type FileSystem, toFixityError, withStoreErrors } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import type { Folders } from "../publisher.ts";
import type { Staging } from "../staging.ts";
import { DocumentFolder, type DocumentToken, type DocumentView, tagOf, type Version } from "./document-folder.ts";

/** Attempts to change a document that other writers change each time between two looks. */
const ATTEMPTS_MAX = 100;

/** Folders that a listing examines together. */
const LIST_BATCH_FOLDERS = 64;

const ON_WINDOWS = process.platform === "win32";

/** How long the folder of a removed document is kept: a day. */
const REMOVED_KEPT_MS = 24 * 60 * 60 * 1000;

/**
 * Documents on disk: a folder for each, with its text and a token that names the text
 * (document-folder.ts). A new one is built under a scratch name and renamed into place, which fails
 * if a folder with anything in it is there. Every change is one rename, so conditions hold on all
 * file systems, with or without hard links.
 *
 * A crash leaves a text that no token names, a superseded text, or a scratch folder under the name
 * of the dead process. {@link collect} removes them, and the folders of documents that were removed
 * a day ago: each by names that are never used again, so a writer that comes in between loses
 * nothing.
 */
export class DiskDocuments implements DocumentStore {
  readonly isConditional = true;
  readonly #layout: Layout;
  readonly #folders: Folders;
  readonly #staging: Staging;
  readonly #files: FileSystem;

  constructor(layout: Layout, folders: Folders, staging: Staging) {
    this.#layout = layout;
    this.#folders = folders;
    this.#staging = staging;
    this.#files = staging.files;
  }

  async read(name: string, signal?: AbortSignal): Promise<StoredDocument | null> {
    assertDocumentName(name);
    return withStoreErrors(async () => {
      const folder = this.#folderOf(name);
      for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts += 1) {
        signal?.throwIfAborted();
        const current = (await folder.view())?.current ?? null;
        signal?.throwIfAborted();
        if (current === null) return null;
        const text = await folder.readText(current);
        // If it is gone, another write has superseded it since the look.
        if (text !== null) return { text, tag: tagOf(current) };
      }
      throw tooManyWrites();
    });
  }

  async write(name: string, text: string, condition: WriteCondition = {}): Promise<string | null> {
    assertDocumentName(name);
    assertDocumentText(text);
    return withStoreErrors(async () => {
      const folder = this.#folderOf(name);
      for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts += 1) {
        const view = await folder.view();
        const next = this.#after(view, "written");
        const holds = isMet(condition, view?.current ?? null);
        if (holds && !(await this.#replace(folder, view, { next, text }))) continue;
        // What another process has written, and this one has seen, must be durable as well.
        await this.#settle(folder);
        if (!holds) return null;
        await folder.removeTexts(supersededBy(next, view));
        return tagOf(next);
      }
      throw tooManyWrites();
    });
  }

  async remove(name: string, ifMatch?: string): Promise<boolean> {
    assertDocumentName(name);
    return withStoreErrors(async () => {
      const folder = this.#folderOf(name);
      for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts += 1) {
        const view = await folder.view();
        const next = this.#after(view, "removed");
        const current = view?.current ?? null;
        const holds = current !== null && (ifMatch === undefined || ifMatch === tagOf(current));
        if (holds && !(await folder.exchange(current, next))) continue;
        await this.#settle(folder);
        if (holds) await folder.removeTexts(supersededBy(next, view));
        return holds;
      }
      throw tooManyWrites();
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ListedDocument> {
    assertDocumentPrefix(prefix);
    signal?.throwIfAborted();
    try {
      const [collection = ""] = prefix.split("/");
      let batch: string[] = [];
      for await (const id of namesIn(join(this.#layout.documents, collection))) {
        const name = `${collection}/${id}`;
        if (name.startsWith(prefix) && isDocumentName(name)) batch.push(name);
        if (batch.length < LIST_BATCH_FOLDERS) continue;
        yield* this.#listed(batch, signal);
        batch = [];
      }
      yield* this.#listed(batch, signal);
    } catch (error) {
      throw toFixityError(error);
    }
  }

  /**
   * Removes what dead processes have left of their writes, and the folders of documents that were
   * removed a day ago. Logs what cannot be removed.
   */
  async collect(signal: AbortSignal | undefined): Promise<void> {
    const { documents } = this.#layout;
    for await (const name of namesIn(documents)) {
      signal?.throwIfAborted();
      const path = join(documents, name);
      try {
        if (isDocumentName(`${name}/0`)) await unlessFile(() => this.#collectIn(path, signal));
        const owner = this.#layout.ownerOfDocumentScratch(name);
        const facts = owner === null ? null : await statOrNull(path);
        if (owner === null || facts === null || !(await this.#staging.isDead(owner, facts.mtime))) continue;
        await this.#files.remove(path, "a folder of a document");
      } catch (error) {
        signal?.throwIfAborted();
        this.#files.log("what interrupted writes have left of documents could not be removed", error);
      }
    }
  }

  async *#listed(names: readonly string[], signal: AbortSignal | undefined): AsyncGenerator<ListedDocument> {
    signal?.throwIfAborted();
    const views = await Promise.all(names.map((name) => unlessFile(() => this.#folderOf(name).view())));
    for (const [index, name] of names.entries()) {
      signal?.throwIfAborted();
      const current = views[index]?.current ?? null;
      if (current !== null) yield { name, tag: tagOf(current) };
    }
  }

  /** Replaces what was seen of a document by a text; `false` if it has changed meanwhile. */
  async #replace(
    folder: DocumentFolder,
    view: DocumentView | null,
    { next, text }: { readonly next: DocumentToken; readonly text: string },
  ): Promise<boolean> {
    if (view === null || view.token === null) {
      if (view !== null && view.foreign > 0) throw occupied(folder.path);
      // Texts without a token never count.
      await folder.removeTexts(view?.texts ?? []);
      return this.#create(folder, next, text);
    }
    try {
      await folder.addText(next, text);
    } catch (error) {
      // The folder of a removed document has been collected.
      if (failedWith(error, "ENOENT")) return false;
      throw error;
    }
    try {
      const isReplaced = await folder.exchange(view.token, next);
      if (!isReplaced) await folder.removeTexts([next]);
      return isReplaced;
    } catch (error) {
      // If the token may have been renamed, the text may count.
      if (await folder.has(view.token).catch(() => false)) await folder.removeTexts([next]);
      throw error;
    }
  }

  /** Creates a document's folder; `false` if there is one with anything in it. */
  async #create({ path }: DocumentFolder, next: DocumentToken, text: string): Promise<boolean> {
    const scratch = this.#layout.documentScratch(next.name);
    const collection = dirname(path);
    try {
      await this.#inFolder(this.#layout.documents, () => this.#layout.modes.mkdir(scratch));
      const folder = this.#at(scratch);
      await folder.addToken(next);
      await folder.addText(next, text);
      await this.#inFolder(collection, () => rename(scratch, path));
      return true;
    } catch (error) {
      await this.#files.remove(scratch, "a folder of a document");
      // Windows has one answer for everything that a folder cannot be renamed to.
      const isTaken = failedWith(error, "ENOTEMPTY", "EEXIST") || (ON_WINDOWS && failedWith(error, "EPERM", "EACCES"));
      if (isTaken) return false;
      throw error;
    }
  }

  /** Runs `work`, and again after creating a folder if that is missing. */
  async #inFolder(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await this.#folders.createDocuments(path);
      await work();
    }
  }

  /** Makes durable what a folder shows, and the folder itself, whichever process created it. */
  async #settle({ path }: DocumentFolder): Promise<void> {
    try {
      await Promise.all([this.#files.flushFolder(path), this.#folders.settleDocuments(dirname(path))]);
    } catch (error) {
      // There is no such document, or its removal is a day old and has been durable ever since.
      if (!failedWith(error, "ENOENT")) throw error;
    }
  }

  async #collectIn(collection: string, signal: AbortSignal | undefined): Promise<void> {
    for await (const id of namesIn(collection)) {
      signal?.throwIfAborted();
      if (!isDocumentName(`${basename(collection)}/${id}`)) continue;
      try {
        await unlessFile(() => this.#collectFrom(this.#at(join(collection, id))));
      } catch (error) {
        this.#files.log("what interrupted writes have left of a document could not be removed", error);
      }
    }
  }

  async #collectFrom(folder: DocumentFolder): Promise<void> {
    const view = await folder.view();
    let kept = view?.foreign ?? 0;
    for (const text of view?.texts ?? []) {
      if (await this.#isUseless(folder, text, view)) await folder.removeTexts([text]);
      else kept += 1;
    }
    if (kept > 0 || !(await this.#isIdle(folder))) return;
    if (view !== null && view.token !== null) await folder.removeToken(view.token);
    try {
      await rmdir(folder.path);
    } catch (error) {
      // A writer has come in between.
      if (!failedWith(error, "ENOTEMPTY", "EEXIST", "ENOENT")) throw error;
    }
  }

  /** Whether a text was superseded, or belongs to a write that was cut off. */
  async #isUseless(folder: DocumentFolder, text: Version, view: DocumentView | null): Promise<boolean> {
    const token = view?.token ?? null;
    if (token !== null && text.generation <= token.generation) return tagOf(text) !== tagOf(token);
    const owner = ownerOf(text.name);
    const time = owner === null ? null : await folder.timeOf(text);
    return owner !== null && time !== null && this.#staging.isDead(owner, time);
  }

  /** Whether nothing has changed in a folder for a day, by the clock of the file system. */
  async #isIdle({ path }: DocumentFolder): Promise<boolean> {
    const facts = await statOrNull(path);
    const clock = facts === null ? null : await this.#staging.clock();
    return facts !== null && clock !== null && clock() - facts.mtimeMs > REMOVED_KEPT_MS;
  }

  #after(view: DocumentView | null, state: DocumentToken["state"]): DocumentToken {
    return { generation: (view?.token?.generation ?? 0) + 1, state, name: newName(this.#staging.owner) };
  }

  #folderOf(name: string): DocumentFolder {
    return this.#at(this.#layout.document(name));
  }

  #at(path: string): DocumentFolder {
    return new DocumentFolder(path, this.#files, this.#layout.modes);
  }
}

/** Looks at a folder; `null` if there is a file in its place, which other programs may have left. */
async function unlessFile<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (failedWith(error, "ENOTDIR")) return null;
    throw error;
  }
}

/** Whether a write may replace the document that was seen. */
function isMet({ ifAbsent, ifMatch }: WriteCondition, current: Version | null): boolean {
  if (ifAbsent === true) return current === null;
  return ifMatch === undefined || (current !== null && ifMatch === tagOf(current));
}

/**
 * The texts that a change has superseded, among those that were seen before it. Those of rivals that
 * have lost are among them. What a look after the change finds could be a later document's.
 */
function supersededBy({ generation }: Version, view: DocumentView | null): readonly Version[] {
  return view?.texts.filter((text) => text.generation <= generation) ?? [];
}

function tooManyWrites(): FixityError {
  return new FixityError("store-busy", "The document is written as fast as it is read.");
}

function occupied(path: string): FixityError {
  return new FixityError("store-misconfigured", "Something that is not a document stands in its place.", {
    cause: new Error(`${path} must be empty or a document's folder: remove what is in it`),
  });
}
