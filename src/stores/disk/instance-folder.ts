import { join } from "node:path";
import { FixityError } from "../../core/errors.ts";
import { mkdirs, open, readdir, rmdir, unlink, utimes } from "./calls.ts";
import { failedWith } from "./faults.ts";
import type { Layout } from "./layout.ts";
import type { Log } from "./options.ts";
import { newName, type Owner } from "./owner.ts";

/** How often a folder is touched, so that machines which cannot see the process see that it lives: every 5 minutes. */
const SIGN_OF_LIFE = 5 * 60 * 1000;

/** A file that bytes are staged in: open for writing, and its path. */
export interface StagingPlace {
  readonly fd: number;
  readonly path: string;
}

/**
 * The folder of this running store's staging files. It is made when the first file needs it, made again should somebody
 * remove it, and removed with the store.
 */
export class InstanceFolder {
  readonly name: string;
  readonly #path: string;
  readonly #log: Log;
  #made: Promise<void> | null = null;
  #signs: NodeJS.Timeout | null = null;
  #closed = false;
  #count = 0;

  constructor(layout: Layout, owner: Owner, log: Log) {
    this.name = newName(owner);
    this.#path = layout.instance(this.name);
    this.#log = log;
  }

  /** The path of a file that is not there yet, and that nobody else makes. */
  async place(): Promise<string> {
    this.#count += 1;
    const path = join(this.#path, String(this.#count));
    await this.#make();
    return path;
  }

  /** Makes a new, empty file, with the permissions that a blob has. */
  async create(): Promise<StagingPlace> {
    const path = await this.place();
    try {
      return { fd: await open(path, "wx", 0o444), path };
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      this.#made = null;
      await this.#make();
      return { fd: await open(path, "wx", 0o444), path };
    }
  }

  /** Removes the folder, with what uploads that are still running have in it: they fail. */
  async remove(): Promise<void> {
    this.#closed = true;
    if (this.#made === null) return;
    try {
      await this.#made;
      if (this.#signs !== null) clearInterval(this.#signs);
      // one file that resists must not keep the others
      const files = (await readdir(this.#path)).map((name) => unlinkAny(join(this.#path, name)));
      await Promise.allSettled(files);
      await Promise.all(files);
      await rmdir(this.#path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) this.#log("the store's staging folder could not be removed", error);
    }
  }

  #make(): Promise<void> {
    if (this.#closed) return Promise.reject(new FixityError("store-unavailable", "The store has been closed."));
    this.#made ??= this.#makeNow();
    return this.#made;
  }

  async #makeNow(): Promise<void> {
    try {
      await mkdirs(this.#path);
    } catch (error) {
      this.#made = null;
      throw error;
    }
    this.#signs ??= setInterval(() => void this.#giveSign(), SIGN_OF_LIFE).unref();
  }

  async #giveSign(): Promise<void> {
    const now = new Date();
    try {
      await utimes(this.#path, now, now);
    } catch (error) {
      // Gone: the next file makes it again.
      if (!failedWith(error, "ENOENT")) this.#log("the store's staging folder could not be touched", error);
    }
  }
}

/** An upload that ends may have removed its file meanwhile. */
async function unlinkAny(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
}
