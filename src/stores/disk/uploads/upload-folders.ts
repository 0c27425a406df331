import { join } from "node:path";
import { newName, ownerOf } from "../../../base/process-identity.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import { namesIn } from "../blob-files.ts";
import { close, open, rename, statOrNull } from "../calls.ts";
import { failedWith, type FileSystem } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import type { Folders } from "../publisher.ts";
import type { Staging } from "../staging.ts";
import { newSegment, restingToken, type SavedState, UploadFolder } from "./upload-folder.ts";

/** The generation in which an upload begins. */
const FIRST_GENERATION = 1;

/**
 * Creates and removes the folders of uploads. Both are atomic: a folder is built, and taken apart,
 * under a scratch name that no upload has. Scratch folders of dead processes are removed by
 * {@link collect}.
 */
export class UploadFolders {
  readonly staging: Staging;
  readonly #layout: Layout;
  readonly #folders: Folders;
  readonly #files: FileSystem;

  constructor(layout: Layout, folders: Folders, staging: Staging) {
    this.staging = staging;
    this.#layout = layout;
    this.#folders = folders;
    this.#files = staging.files;
  }

  of(id: UploadId): UploadFolder {
    return this.#at(this.#layout.upload(id));
  }

  /**
   * Creates an upload of zero bytes, durably and not held.
   *
   * @param isEnded it has already ended
   */
  async create(id: UploadId, record: string, isEnded: boolean): Promise<void> {
    const { modes } = this.#layout;
    const scratch = this.#newScratch();
    await this.#createScratch(scratch);
    try {
      // The file of the bytes is created now, so that its name is durable before any save.
      const state: SavedState = isEnded
        ? { record, segments: [], isEnded }
        : { record, segments: [newSegment(FIRST_GENERATION)] };
      for (const { name } of [...state.segments, restingToken(FIRST_GENERATION, "free")]) {
        await close(await open(join(scratch, name), "wx", modes.file));
      }
      await this.#at(scratch).writeState(FIRST_GENERATION, state, Promise.resolve());
      await rename(scratch, this.#layout.upload(id));
    } catch (error) {
      await this.#dismantle(scratch);
      throw error;
    }
    await this.#folders.settleUploads();
  }

  /**
   * Removes an upload whose token is `gone`: durably, even if another process has removed it.
   */
  async finishRemoval(id: UploadId): Promise<void> {
    const scratch = this.#newScratch();
    try {
      await rename(this.#layout.upload(id), scratch);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    await this.#folders.settleUploads();
    await this.#dismantle(scratch);
  }

  /**
   * Removes the scratch folders of dead processes, and the requests that they have left. Logs what
   * cannot be removed.
   */
  async collect(signal: AbortSignal | undefined): Promise<void> {
    const { uploads, wanted } = this.#layout;
    for (const path of await this.#ofTheDead(uploads, signal)) await this.#dismantle(path);
    for (const path of await this.#ofTheDead(wanted, signal)) {
      await this.#files.remove(path, "a request for an upload");
    }
  }

  async #ofTheDead(folder: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const name of namesIn(folder)) {
      signal?.throwIfAborted();
      const owner = ownerOf(name);
      const path = join(folder, name);
      try {
        const facts = owner === null ? null : await statOrNull(path);
        if (owner === null || facts === null) continue;
        if (await this.staging.isDead(owner, facts.mtime)) found.push(path);
      } catch (error) {
        this.#files.log("what a dead process may have left could not be examined", error);
      }
    }
    return found;
  }

  #at(path: string): UploadFolder {
    return new UploadFolder(path, this.#files, this.#layout.modes);
  }

  #newScratch(): string {
    return this.#layout.scratch(newName(this.staging.owner));
  }

  async #createScratch(path: string): Promise<void> {
    try {
      await this.#layout.modes.mkdir(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await this.#folders.createUploads();
      await this.#layout.modes.mkdir(path);
    }
  }

  async #dismantle(path: string): Promise<void> {
    await this.#files.remove(path, "a folder of an upload");
  }
}
