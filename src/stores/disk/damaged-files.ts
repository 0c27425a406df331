import { constants, type Stats } from "node:fs";
import { copyFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Digest } from "../../core/digest.ts";
import type { RemovedDamage } from "../../core/store.ts";
import { lstat, readdir, unlink } from "./calls.ts";
import { failedWith, type FileSystem, linkIfFree } from "./file-system.ts";
import { type Layout, replacedAt } from "./layout.ts";

/** Milliseconds for which damaged bytes are kept: 30 days. */
const DAMAGED_KEPT_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * The folder `damaged/`: bytes that a commit found damaged and replaced, kept so that the operator
 * can examine what has happened to them. The blob stays in its place until the commit renames the
 * new file over it, so it gets a second name here first. Best effort: keeping the bytes never fails
 * a repair.
 */
export class DamagedFiles {
  readonly #layout: Layout;
  readonly #files: FileSystem;

  constructor(layout: Layout, files: FileSystem) {
    this.#layout = layout;
    this.#files = files;
  }

  /**
   * Gives the blob's file a second name; a symbolic link gets one itself, not its target. Without
   * hard links, the bytes are copied. Never throws.
   *
   * @param damaged the facts of the file that was found damaged
   * @returns the new path below the root; `null` if the bytes are not kept
   */
  async keep(digest: Digest, damaged: Stats): Promise<string | null> {
    const place = this.#layout.blob(digest);
    const kept = this.#layout.damagedFile(digest, Date.now());
    try {
      if ((await this.#inFolder(() => linkIfFree(place, kept))) === null) {
        await this.#inFolder(() => copyFile(place, kept, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE));
      } else {
        const facts = await lstat(kept);
        if (facts.isFile() && (facts.ino !== damaged.ino || facts.dev !== damaged.dev)) {
          // Another commit has replaced the blob already: these are its bytes.
          await unlink(kept);
          return null;
        }
      }
      return `damaged/${basename(kept)}`;
    } catch (error) {
      this.#files.log(`the damaged bytes of ${digest.hex} could not be kept for examination`, error);
      return null;
    }
  }

  /** Removes what was replaced 30 days ago or earlier. Logs what cannot be removed. */
  async collect(signal: AbortSignal | undefined): Promise<void> {
    await this.#remove(DAMAGED_KEPT_MS, signal);
  }

  /** Removes everything that is kept. Logs what cannot be removed. */
  async removeAll(signal: AbortSignal | undefined): Promise<RemovedDamage> {
    return this.#remove(-Infinity, signal);
  }

  async #remove(minAgeMs: number, signal: AbortSignal | undefined): Promise<RemovedDamage> {
    let [blobs, bytes] = [0, 0];
    for (const name of await this.#names()) {
      signal?.throwIfAborted();
      const since = replacedAt(name);
      if (since === null || Date.now() - since < minAgeMs) continue;
      const path = join(this.#layout.damaged, name);
      try {
        const { size, nlink } = await lstat(path);
        await unlink(path);
        blobs += 1;
        // A file with another name occupies its space further on.
        if (nlink === 1) bytes += size;
      } catch (error) {
        // Another collection may have removed it.
        if (failedWith(error, "ENOENT")) continue;
        this.#files.log("damaged bytes that were kept for examination could not be removed", error);
      }
    }
    return { blobs, bytes };
  }

  async #names(): Promise<readonly string[]> {
    try {
      return await readdir(this.#layout.damaged);
    } catch (error) {
      if (failedWith(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** Runs `work`, and again after creating the folder if that is missing. */
  async #inFolder<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    await this.#layout.modes.mkdirs(this.#layout.damaged);
    return work();
  }
}
