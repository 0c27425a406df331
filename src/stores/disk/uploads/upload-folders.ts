import { join } from "node:path";
import type { UploadId } from "../../../core/upload-id.ts";
import { close, open, rename, statOrNull, unlink } from "../calls.ts";
import type { Durability } from "../file-system.ts";
import { failedWith } from "../faults.ts";
import type { Folders } from "../folders.ts";
import type { Layout } from "../layout.ts";
import type { Clock, InstanceFolder } from "../staging.ts";
import type { Leftovers } from "../leftovers.ts";
import { newName, type Owner, ownerOf } from "../../../base/process-identity.ts";
import { namesIn } from "../walk.ts";
import { newSegment } from "./saved-state.ts";
import { restingToken } from "./token.ts";
import { UploadFolder } from "./upload-folder.ts";

/** The first generation of an upload. */
const FIRST = 1;

/** What the folders of uploads are made with. */
export interface UploadFoldersTools {
  readonly durability: Durability;
  readonly leftovers: Leftovers;
  readonly owner: Owner;
  readonly instance: InstanceFolder;
}

/**
 * Makes and removes the folders of uploads, each in one step: it is made, and taken to pieces, under a name that no upload
 * has.
 */
export class UploadFolders {
  readonly #layout: Layout;
  readonly #folders: Folders;
  readonly #tools: UploadFoldersTools;

  constructor(layout: Layout, folders: Folders, tools: UploadFoldersTools) {
    this.#layout = layout;
    this.#folders = folders;
    this.#tools = tools;
  }

  of(id: UploadId): UploadFolder {
    return new UploadFolder(this.#layout.upload(id), { ...this.#tools, modes: this.#layout.modes });
  }

  /** Makes an upload that nobody holds, of no bytes, durably. @param isEnded it never gets any */
  async create(id: UploadId, record: string, isEnded: boolean): Promise<void> {
    const { owner } = this.#tools;
    const scratch = this.#layout.scratch(newName(owner));
    await this.#makeScratch(scratch);
    try {
      // The file of the bytes is there from the start, so that its name is durable before any save.
      const segments = isEnded ? [] : [newSegment(FIRST)];
      for (const { name } of [...segments, restingToken(FIRST, "free")]) {
        await close(await open(join(scratch, name), "wx", this.#layout.modes.file));
      }
      await new UploadFolder(scratch, { ...this.#tools, modes: this.#layout.modes }).writeState(
        FIRST,
        isEnded ? { record, segments, isEnded } : { record, segments },
        Promise.resolve(),
      );
      await rename(scratch, this.#layout.upload(id));
    } catch (error) {
      await this.#dismantle(scratch);
      throw error;
    }
    await this.#folders.settleUploads();
  }

  /** Removes an upload whose token says that it is gone; durably, also where somebody else has done so. */
  async finishRemoval(id: UploadId): Promise<void> {
    const scratch = this.#layout.scratch(newName(this.#tools.owner));
    try {
      await rename(this.#layout.upload(id), scratch);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    await this.#folders.settleUploads();
    await this.#dismantle(scratch);
  }

  /** The clock that the times of files are from; `null` if it cannot be read. */
  clock(): Promise<Clock | null> {
    return this.#tools.instance.clock();
  }

  /** Removes what dead processes have left of uploads that they were making or removing, and requests they have left. */
  async collect(signal: AbortSignal | undefined): Promise<void> {
    const { uploads, wanted } = this.#layout;
    for (const path of await this.#ofTheDead(uploads, signal)) await this.#dismantle(path);
    for (const path of await this.#ofTheDead(wanted, signal)) await unlink(path).catch(() => null);
  }

  async #ofTheDead(folder: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const { instance } = this.#tools;
    const found: string[] = [];
    for await (const name of namesIn(folder)) {
      signal?.throwIfAborted();
      const owner = ownerOf(name);
      const facts = owner === null ? null : await statOrNull(join(folder, name));
      if (owner === null || facts === null) continue;
      if (await instance.isDead(owner, facts.mtime)) found.push(join(folder, name));
    }
    return found;
  }

  async #makeScratch(path: string): Promise<void> {
    try {
      await this.#layout.modes.mkdir(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await this.#folders.makeUploads();
      await this.#layout.modes.mkdir(path);
    }
  }

  async #dismantle(path: string): Promise<void> {
    await this.#tools.leftovers.remove(path, "a folder of an upload");
  }
}
