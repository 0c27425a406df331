import { join } from "node:path";
import { FixityError } from "../../core/errors.ts";
import { close, fstat, open, readdir, rmdir, stat, unlink } from "./calls.ts";
import { failedWith } from "./faults.ts";
import type { Layout } from "./layout.ts";
import type { Modes } from "./modes.ts";
import type { Log } from "./options.ts";
import { isSilent, lifeOf, newName, type Owner } from "../../base/process-identity.ts";

/** How often a folder is touched, so that machines which cannot see the process see that it lives: every 5 minutes. */
const SIGN_OF_LIFE = 5 * 60 * 1000;

/** Milliseconds since 1970. */
export type Clock = () => number;

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
  readonly #owner: Owner;
  readonly #modes: Modes;
  readonly #log: Log;
  #made: Promise<void> | null = null;
  #signs: NodeJS.Timeout | null = null;
  #clock: Clock | null = null;
  #closed = false;
  #count = 0;

  constructor(layout: Layout, owner: Owner, log: Log) {
    this.name = newName(owner);
    this.#path = layout.instance(this.name);
    this.#owner = owner;
    this.#modes = layout.modes;
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
      return await this.#open(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      this.#made = null;
      await this.#make();
      return await this.#open(path);
    }
  }

  /**
   * Whether an owner is gone. Where that cannot be seen, its last sign (the time that the file system gave a file or folder
   * of the owner's) is compared with the time that the file system gives a new file: no machine's clock plays a part.
   */
  async isDead(owner: Owner, lastSign: Date): Promise<boolean> {
    const life = lifeOf(owner, this.#owner);
    return life === "unknown" ? isSilent(lastSign, await this.#now()) : life === "dead";
  }

  async #open(path: string): Promise<StagingPlace> {
    const fd = await open(path, "wx", this.#modes.blob);
    try {
      await this.#modes.admitGroup(fd);
    } catch (error) {
      await close(fd);
      await unlinkAny(path);
      throw error;
    }
    return { fd, path };
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
      await this.#modes.mkdirs(this.#path);
      await this.#readClock();
    } catch (error) {
      this.#made = null;
      throw error;
    }
    this.#signs ??= setInterval(() => void this.#giveSign(), SIGN_OF_LIFE).unref();
  }

  /**
   * The clock that the file system stamps its files with, which on a network file system is not this machine's: the time that
   * it gave this folder at the last change, and what has passed since. `null` if the folder cannot be made.
   */
  async clock(): Promise<Clock | null> {
    await this.#make().catch(() => null);
    return this.#clock;
  }

  async #readClock(): Promise<void> {
    const readAt = performance.now();
    const { mtimeMs } = await stat(this.#path);
    this.#clock = () => mtimeMs + performance.now() - readAt;
  }

  /** The time by the file system's clock: that of a new file. */
  async #now(): Promise<Date> {
    try {
      const { fd, path } = await this.create();
      try {
        return (await fstat(fd)).mtime;
      } finally {
        await close(fd);
        await unlinkAny(path);
      }
    } catch (error) {
      // on a full disk the collection matters more than the clock
      if (failedWith(error, "ENOSPC", "EDQUOT")) return new Date();
      throw error;
    }
  }

  /** A new file, removed at once: the file system then gives the folder the time of its own clock. */
  async #giveSign(): Promise<void> {
    this.#count += 1;
    const path = join(this.#path, String(this.#count));
    try {
      await close(await open(path, "wx", this.#modes.blob));
      await unlinkAny(path);
      await this.#readClock();
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
