import { dirname } from "node:path";
import type { Digest } from "../../core/digest.ts";
import { refuseDanglingLink } from "./blob-files.ts";
import type { Durability } from "./file-system.ts";
import { failedWith } from "./faults.ts";
import type { Layout } from "./layout.ts";
import type { Log } from "./options.ts";

/**
 * The folders that blobs and uploads lie in. A blob is durable when its own entry is and the entries of all folders above it are, up
 * to the root of the file system: each folder's entry is in the one above, which has to be flushed after it was made.
 */
export class Folders {
  readonly #layout: Layout;
  readonly #durability: Durability;
  readonly #log: Log;
  /** Folders whose own entry is known to be durable. */
  readonly #settled = new Set<string>();
  #base: Promise<void> | null = null;

  constructor(layout: Layout, durability: Durability, log: Log) {
    this.#layout = layout;
    this.#durability = durability;
    this.#log = log;
  }

  /** Makes the store's folder and what is always in it. */
  async makeBase(): Promise<void> {
    await this.#layout.modes.mkdirs(this.#layout.blobs);
    await this.#layout.modes.mkdirs(this.#layout.staging);
    await this.#layout.modes.mkdirs(this.#layout.uploads);
  }

  /** Makes the folder that uploads lie in. */
  async makeUploads(): Promise<void> {
    this.#settled.clear();
    this.#base = null;
    await this.#layout.modes.mkdirs(this.#layout.uploads);
  }

  /** Makes durable which uploads there are, as {@link settle} does for blobs. */
  async settleUploads(): Promise<void> {
    const path = this.#layout.uploads;
    const flushed = this.#durability.folder(path);
    if (this.#settled.has(path)) return flushed;
    await Promise.all([flushed, this.#durability.folder(this.#layout.root), this.#settleBase()]);
    this.#settled.add(path);
  }

  /** Makes the folder that a blob will lie in. */
  async make(digest: Digest): Promise<void> {
    const path = this.#layout.fanOut(digest);
    this.#settled.delete(path);
    try {
      await this.#layout.modes.mkdir(path);
    } catch (error) {
      if (failedWith(error, "EEXIST")) return refuseDanglingLink(path);
      if (!failedWith(error, "ENOENT")) throw error;
      // Somebody removed the folders above as well: what was known of them is void.
      this.#settled.clear();
      this.#base = null;
      await this.#layout.modes.mkdirs(path);
    }
  }

  /**
   * Makes durable what was linked into or removed from a blob's folder before this call. The entries of the folders
   * themselves are flushed once in the life of a store, whoever made them: another process may have done so a moment
   * ago and not have got round to it.
   */
  async settle(digest: Digest): Promise<void> {
    const path = this.#layout.fanOut(digest);
    const flushed = this.#durability.folder(path);
    if (this.#settled.has(path)) return flushed;
    await Promise.all([flushed, this.#durability.folder(this.#layout.blobs), this.#settleBase()]);
    this.#settled.add(path);
  }

  /** Whether nothing but its own flush is left to do for the folder of a blob. */
  isSettled(digest: Digest): boolean {
    return this.#settled.has(this.#layout.fanOut(digest));
  }

  #settleBase(): Promise<void> {
    this.#base ??= this.#settleBaseNow();
    return this.#base;
  }

  async #settleBaseNow(): Promise<void> {
    try {
      await this.#durability.folder(this.#layout.root);
    } catch (error) {
      this.#base = null;
      throw error;
    }
    await this.#settleAbove();
  }

  /** As far as this process may: a folder that is closed to it is not one where it has made another. */
  async #settleAbove(): Promise<void> {
    let path = this.#layout.root;
    while (dirname(path) !== path) {
      path = dirname(path);
      try {
        await this.#durability.folder(path);
      } catch (error) {
        if (failedWith(error, "EACCES", "EPERM")) continue;
        this.#log("a folder above the store's own could not be made durable; it should be if it is new", error);
      }
    }
  }
}
