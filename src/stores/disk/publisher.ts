import { dirname } from "node:path";
import { HARD_LINKS_UNSUPPORTED } from "../../base/system-errors.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import { openBlob, refuseDanglingLink, statBlob, statOf } from "./blob-files.ts";
import { close, link, look, rename, statOrNull } from "./calls.ts";
import { failedWith, type FileSystem } from "./file-system.ts";
import type { Layout } from "./layout.ts";

/** Attempts to publish a blob that is removed again each time between two looks. */
const PUBLISH_ATTEMPTS_MAX = 10;

/** A sealed staging file. */
export interface SealedFile {
  readonly path: string;
  /** Closes the file and removes this name of it. Never throws. */
  discard(): Promise<void>;
}

/** A file that is to become a blob and keep its own name. */
export interface AdoptedFile {
  readonly path: string;
  readonly size: number;
  /**
   * Makes the file durable, read-only and exactly `size` bytes long. Called once it is known to be
   * needed.
   */
  readonly seal: () => Promise<void>;
}

/**
 * Gives files their names among the blobs, durably, and confirms the blobs that are stored already.
 */
export class Publisher {
  readonly folders: Folders;
  readonly #layout: Layout;
  readonly #files: FileSystem;

  constructor(layout: Layout, files: FileSystem) {
    this.folders = new Folders(layout, files);
    this.#layout = layout;
    this.#files = files;
  }

  /**
   * Makes a stored blob durable and returns its facts; `null` if there is none, or if `size` is
   * given and the blob has another.
   *
   * @throws FixityError as {@link openBlob} does
   */
  async confirm(digest: Digest, size?: number): Promise<BlobStat | null> {
    const opened = await openBlob(this.#layout.blob(digest));
    if (opened === null) return null;
    const { fd, facts } = opened;
    try {
      if (size !== undefined && facts.size !== size) return null;
      const flushes = [this.#files.flushForeignFile(fd), this.folders.settle(digest)];
      // A descriptor in use must not be closed: both flushes end before the first failure is
      // thrown.
      await Promise.allSettled(flushes);
      await Promise.all(flushes);
      return statOf(digest, facts);
    } finally {
      await close(fd);
    }
  }

  /** Like {@link confirm}, for bytes that are most likely new: then it costs one call. */
  async confirmIfStored(digest: Digest, size: number): Promise<BlobStat | null> {
    // The look costs less than the flush that it may save. If nothing is flushed, the later link
    // reports the same.
    if (!this.#files.isDurable) return null;
    const facts = await look(this.#layout.blob(digest));
    return facts === null ? null : this.confirm(digest, size);
  }

  /**
   * Gives a sealed file its name among the blobs, durably, and removes its staging name. A complete
   * blob is never overwritten: a link cannot replace what is there, and what is there is kept.
   * After a failure the file may or may not have been published.
   */
  async publish(file: SealedFile, digest: Digest, size: number): Promise<Committed> {
    for (let attempts = 0; attempts < PUBLISH_ATTEMPTS_MAX; attempts += 1) {
      if (await this.#inFolder(digest, () => linkNew(file.path, this.#layout.blob(digest)))) {
        await Promise.all([this.folders.settle(digest), file.discard()]);
        return { existed: false };
      }
      if ((await this.confirm(digest, size)) !== null) {
        await file.discard();
        return { existed: true };
      }
      if (await this.#replaceDamaged(file, digest, size)) return { existed: false };
    }
    throw tooManyRemovals();
  }

  /**
   * Gives a file a second name among the blobs, durably. Idempotent: a blob that is this very file
   * does not count as stored before. `null` if only a copy can become a blob, because the file
   * system has no hard links or a damaged blob is in the place.
   */
  async adopt({ path, size, seal }: AdoptedFile, digest: Digest): Promise<Committed | null> {
    const place = this.#layout.blob(digest);
    for (let attempts = 0; attempts < PUBLISH_ATTEMPTS_MAX; attempts += 1) {
      if ((await this.confirm(digest, size)) !== null) return { existed: !(await isOneFile(path, place)) };
      await seal();
      const linked = await this.#inFolder(digest, () => linkIfFree(path, place));
      if (linked === null) return null;
      if (linked) {
        await this.folders.settle(digest);
        return { existed: false };
      }
      const found = await statOrNull(place);
      if (found !== null && found.size !== size) return null;
    }
    throw tooManyRemovals();
  }

  /** Runs `work`, and again after creating the blob's folder if that is missing. */
  async #inFolder<T>(digest: Digest, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    // Either the folder is missing or the file is; in the second case this fails as well.
    await this.folders.create(digest);
    return work();
  }

  /**
   * Renames the file over a blob of the wrong size. `false` if that blob is gone meanwhile, or
   * complete.
   */
  async #replaceDamaged(file: SealedFile, digest: Digest, size: number): Promise<boolean> {
    const place = this.#layout.blob(digest);
    const found = await statOrNull(place);
    if (found === null || (found.isFile() && found.size === size)) return false;
    this.#files.log(`a damaged blob is replaced: ${digest.hex} has ${found.size} bytes and should have ${size}`);
    await rename(file.path, place);
    await Promise.all([this.folders.settle(digest), file.discard()]);
    return true;
  }
}

/**
 * The folders that hold blobs and uploads. A blob is durable when its own entry is and so are the
 * entries of all folders above it, up to the root of the file system: the entry of each folder is
 * in the one above, which has to be flushed after the folder was created. That is done once in the
 * life of a store, whichever process created them: another one may have created a folder a moment
 * ago and not flushed it yet.
 */
export class Folders {
  readonly #layout: Layout;
  readonly #files: FileSystem;
  /** Folders whose own entry is known to be durable. */
  readonly #settled = new Set<string>();
  #base: Promise<void> | null = null;

  constructor(layout: Layout, files: FileSystem) {
    this.#layout = layout;
    this.#files = files;
  }

  /** Creates the store's folder and the folders that are always in it. */
  async createBase(): Promise<void> {
    const { blobs, staging, uploads, modes } = this.#layout;
    for (const path of [blobs, staging, uploads]) await modes.mkdirs(path);
  }

  /** Creates the folder of the uploads. */
  async createUploads(): Promise<void> {
    this.#forgetAll();
    await this.#layout.modes.mkdirs(this.#layout.uploads);
  }

  /** Creates the folder of a blob. */
  async create(digest: Digest): Promise<void> {
    const path = this.#layout.fanOut(digest);
    this.#settled.delete(path);
    try {
      await this.#layout.modes.mkdir(path);
    } catch (error) {
      if (failedWith(error, "EEXIST")) return refuseDanglingLink(path);
      if (!failedWith(error, "ENOENT")) throw error;
      // The folders above have been removed as well: nothing that was known of them holds.
      this.#forgetAll();
      await this.#layout.modes.mkdirs(path);
    }
  }

  /** Makes durable which uploads there are. */
  settleUploads(): Promise<void> {
    return this.#settle(this.#layout.uploads, this.#layout.root);
  }

  /** Makes durable what has been added to or removed from a blob's folder before this call. */
  settle(digest: Digest): Promise<void> {
    return this.#settle(this.#layout.fanOut(digest), this.#layout.blobs);
  }

  /** Whether a blob's folder needs nothing but a flush of its own. */
  isSettled(digest: Digest): boolean {
    return this.#settled.has(this.#layout.fanOut(digest));
  }

  async #settle(path: string, parent: string): Promise<void> {
    const flushed = this.#files.flushFolder(path);
    if (this.#settled.has(path)) return flushed;
    await Promise.all([flushed, this.#files.flushFolder(parent), this.#settleBase()]);
    this.#settled.add(path);
  }

  #settleBase(): Promise<void> {
    this.#base ??= this.#settleBaseNow();
    return this.#base;
  }

  async #settleBaseNow(): Promise<void> {
    try {
      await this.#files.flushFolder(this.#layout.root);
    } catch (error) {
      this.#base = null;
      throw error;
    }
    await this.#settleAbove();
  }

  /** Skips folders that this process may not open: it has created nothing in them. */
  async #settleAbove(): Promise<void> {
    let path = this.#layout.root;
    while (dirname(path) !== path) {
      path = dirname(path);
      try {
        await this.#files.flushFolder(path);
      } catch (error) {
        if (failedWith(error, "EACCES", "EPERM")) continue;
        this.#files.log("a folder above the store's own could not be made durable; it should be if it is new", error);
      }
    }
  }

  #forgetAll(): void {
    this.#settled.clear();
    this.#base = null;
  }
}

/**
 * Publishes by a second name for the same file; `false` if the new name is taken. Without hard
 * links, by a rename after a look: if another process publishes between the two, its blob is
 * replaced by this one, of the same bytes.
 */
async function linkNew(from: string, to: string): Promise<boolean> {
  const linked = await linkIfFree(from, to);
  if (linked !== null) return linked;
  if ((await statBlob(to)) !== null) return false;
  await rename(from, to);
  return true;
}

/** `false` if the new name is taken, `null` if the file system has no hard links. */
async function linkIfFree(from: string, to: string): Promise<boolean | null> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (failedWith(error, "EEXIST")) return false;
    if (failedWith(error, ...HARD_LINKS_UNSUPPORTED)) return null;
    throw error;
  }
}

async function isOneFile(path: string, other: string): Promise<boolean> {
  const [one, two] = await Promise.all([statOrNull(path), statOrNull(other)]);
  return one !== null && two !== null && one.ino === two.ino && one.dev === two.dev;
}

function tooManyRemovals(): FixityError {
  return new FixityError("store-unavailable", "The blob is removed as fast as it is stored.");
}
