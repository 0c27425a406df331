import { constants } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { isSilent, lifeOf, newName, type Owner, ownerOf } from "../../base/process-identity.ts";
import { FixityError } from "../../core/errors.ts";
import type { Collected } from "../../core/store.ts";
import { chmod, close, fstat, lstat, open, readdir, rmdir, stat, statOrNull, unlink } from "./calls.ts";
import { failedWith, type FileSystem, linkIfFree } from "./file-system.ts";
import type { Layout } from "./layout.ts";

/**
 * How often a running store touches its staging folder: every 5 minutes. Machines that cannot see
 * the process take it for dead after an hour without a sign.
 */
const SIGN_OF_LIFE_INTERVAL_MS = 5 * 60 * 1000;

/** The answers to FICLONE of file systems without shared blocks (ioctl_ficlone(2)), and of libuv. */
const CLONES_UNSUPPORTED = [
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOTTY",
  "ENOSYS",
  "EXDEV",
  "EINVAL",
  "EPERM",
  "ETXTBSY",
] as const;

const NONE_COLLECTED: Collected = { staged: 0, bytes: 0 };

/** The time by the clock of the file system, in milliseconds since 1970. */
export type FileClock = () => number;

/** A new staging file: open for writing, and its path. */
export interface StagingPlace {
  readonly fd: number;
  readonly path: string;
}

/**
 * The staging area. Each running store has a folder in it, named after its process, with one file
 * for each upload that is coming in. The folder is created when the first file needs it, created
 * again if it is removed, and removed with the store. The folders of dead processes are found
 * by their names and removed by {@link collect}.
 */
export class Staging {
  readonly files: FileSystem;
  readonly owner: Owner;
  readonly #layout: Layout;
  readonly #path: string;
  #created: Promise<void> | null = null;
  #signs: NodeJS.Timeout | null = null;
  #clock: FileClock | null = null;
  #isClosed = false;
  #count = 0;

  constructor(layout: Layout, files: FileSystem, owner: Owner) {
    this.files = files;
    this.owner = owner;
    this.#layout = layout;
    this.#path = layout.instance(newName(owner));
  }

  /** The path of a file that does not exist yet; no other call returns it. */
  async place(): Promise<string> {
    this.#count += 1;
    const path = `${this.#path}${sep}${this.#count}`;
    await this.#createFolder();
    return path;
  }

  /** Creates an empty file, with the permissions of a blob. */
  async create(): Promise<StagingPlace> {
    return this.#inFolder((path) => this.#open(path));
  }

  /**
   * Gives a file a second name in here, and returns it; `null` if the file system has no hard
   * links.
   */
  async link(from: string): Promise<string | null> {
    return this.#inFolder(async (path) => ((await linkIfFree(from, path)) === null ? null : path));
  }

  /**
   * Makes a copy that shares the disk blocks of a file, with the permissions of a blob, and returns its
   * path; `null` if the file system cannot do that, or the file lies on another one.
   */
  async clone(from: string): Promise<string | null> {
    return this.#inFolder(async (path) => {
      try {
        await copyFile(from, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
      } catch (error) {
        if (failedWith(error, ...CLONES_UNSUPPORTED)) return null;
        throw error;
      }
      // The copy has the mode of the file. Its folder is closed to others.
      await chmod(path, this.#layout.modes.blob);
      return path;
    });
  }

  /**
   * The clock by which the file system stamps its files, which on a network file system is not this
   * machine's: the time that it gave this store's folder at the last change, and what has passed
   * since. `null` if the folder cannot be created.
   */
  async clock(): Promise<FileClock | null> {
    await this.#createFolder().catch(() => null);
    return this.#clock;
  }

  /**
   * Whether an owner is dead. One that cannot be observed counts as dead after an hour of silence:
   * `lastSign`, the time of one of its files or folders, is compared with the time of a new file.
   * Both are the file system's, so no machine's clock matters.
   */
  async isDead(owner: Owner, lastSign: Date): Promise<boolean> {
    const life = lifeOf(owner, this.owner);
    return life === "unknown" ? isSilent(lastSign, await this.#now()) : life === "dead";
  }

  /**
   * Removes the folders of dead processes. Several collectors may run at once: each counts what it
   * removed itself. Logs each failure.
   */
  async collect(signal: AbortSignal | undefined): Promise<Collected> {
    let total = NONE_COLLECTED;
    for (const name of await namesOrNone(this.#layout.staging)) {
      signal?.throwIfAborted();
      const owner = ownerOf(name);
      if (owner !== null) total = sum(total, await this.#collectFolder(owner, this.#layout.instance(name)));
    }
    return total;
  }

  /** Removes this store's folder with everything in it. Uploads that are still running fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#created === null) return;
    try {
      await this.#created;
      if (this.#signs !== null) clearInterval(this.#signs);
      const removals = (await readdir(this.#path)).map((name) => unlinkIfThere(join(this.#path, name)));
      // One file that cannot be removed must not prevent the removal of the others.
      await Promise.allSettled(removals);
      await Promise.all(removals);
      await rmdir(this.#path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) this.files.log("the store's staging folder could not be removed", error);
    }
  }

  /** Runs `work` with a new path, and again after creating the folder if that was removed. */
  async #inFolder<T>(work: (path: string) => Promise<T>): Promise<T> {
    const path = await this.place();
    try {
      return await work(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      this.#created = null;
      await this.#createFolder();
      return await work(path);
    }
  }

  async #open(path: string): Promise<StagingPlace> {
    const { modes } = this.#layout;
    const fd = await open(path, "wx", modes.blob);
    try {
      await modes.admitGroup(fd);
    } catch (error) {
      await close(fd);
      await unlinkIfThere(path);
      throw error;
    }
    return { fd, path };
  }

  #createFolder(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new FixityError("store-unavailable", "The store has been closed."));
    this.#created ??= this.#createFolderNow();
    return this.#created;
  }

  async #createFolderNow(): Promise<void> {
    try {
      await this.#layout.modes.mkdirs(this.#path);
      await this.#readClock();
    } catch (error) {
      this.#created = null;
      throw error;
    }
    this.#signs ??= setInterval(() => void this.#giveSign(), SIGN_OF_LIFE_INTERVAL_MS).unref();
  }

  async #readClock(): Promise<void> {
    const readAt = performance.now();
    const { mtimeMs } = await stat(this.#path);
    this.#clock = () => mtimeMs + performance.now() - readAt;
  }

  /** The file system's time: that of a new file. */
  async #now(): Promise<Date> {
    try {
      const { fd, path } = await this.create();
      try {
        return (await fstat(fd)).mtime;
      } finally {
        await close(fd);
        await unlinkIfThere(path);
      }
    } catch (error) {
      // On a full disk the collection matters more than the clock.
      if (failedWith(error, "ENOSPC", "EDQUOT")) return new Date();
      throw error;
    }
  }

  /** Creates and removes a file: the file system stamps the folder by its own clock. */
  async #giveSign(): Promise<void> {
    this.#count += 1;
    const path = join(this.#path, String(this.#count));
    try {
      await close(await open(path, "wx", this.#layout.modes.blob));
      await unlinkIfThere(path);
      await this.#readClock();
    } catch (error) {
      // A missing folder is created again by the next file.
      if (!failedWith(error, "ENOENT")) this.files.log("the store's staging folder could not be touched", error);
    }
  }

  /**
   * Removes the folder of an owner if it is dead. Logs failures: what cannot be removed must prevent
   * neither the removal of the rest nor the start of a server.
   */
  async #collectFolder(owner: Owner, path: string): Promise<Collected> {
    let total = NONE_COLLECTED;
    try {
      const folder = await statOrNull(path);
      if (folder === null || !(await this.isDead(owner, folder.mtime))) return total;
      let isEmpty = true;
      for (const file of await namesOrNone(path)) {
        const collected = await this.#removeAbandoned(join(path, file));
        if (collected === null) isEmpty = false;
        else total = sum(total, collected);
      }
      if (isEmpty) await rmdir(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) this.files.log("an abandoned staging folder could not be removed", error);
    }
    return total;
  }

  /** Returns `null` if the file stays. */
  async #removeAbandoned(path: string): Promise<Collected | null> {
    try {
      return await removeStaged(path);
    } catch (error) {
      this.files.log("an abandoned staging file could not be removed", error);
      return null;
    }
  }
}

async function removeStaged(path: string): Promise<Collected> {
  try {
    const { size, nlink } = await lstat(path);
    await unlink(path);
    // A file with a second name had become a blob: nothing half-written, and no space is freed.
    return nlink > 1 ? NONE_COLLECTED : { staged: 1, bytes: size };
  } catch (error) {
    if (failedWith(error, "ENOENT")) return NONE_COLLECTED;
    throw error;
  }
}

function sum(one: Collected, other: Collected): Collected {
  return { staged: one.staged + other.staged, bytes: one.bytes + other.bytes };
}

async function namesOrNone(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return [];
    throw error;
  }
}

/** An upload that ends may have removed its file meanwhile. */
async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
}
