import type { Stats } from "node:fs";
import { dirname } from "node:path";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { CommitOptions, Committed, StoredVerdict } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import { openBlob, refuseDanglingLink, statBlob, statOf } from "./blob-files.ts";
import { close, look, rename, statOrNull } from "./calls.ts";
import { DamagedFiles } from "./damaged-files.ts";
import { failedWith, type FileSystem, linkIfFree } from "./file-system.ts";
import type { Layout } from "./layout.ts";
import type { Staging } from "./staging.ts";

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
  /**
   * Makes the file durable, read-only and as long as the blob. Called once it is known to be
   * needed.
   */
  readonly seal: () => Promise<void>;
}

/** What is committed. */
export interface Publication {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly judge: CommitOptions["judge"];
}

/** A blob that was found in the place of one that is committed. */
interface StoredBlob {
  readonly facts: Stats;
  /** A blob that is kept is durable. */
  readonly verdict: StoredVerdict;
  /** It is the file that is to be adopted, by an earlier commit. */
  readonly isOwn: boolean;
}

/**
 * Gives files their names among the blobs, durably, and confirms the blobs that are stored already.
 */
export class Publisher {
  readonly folders: Folders;
  readonly damaged: DamagedFiles;
  readonly #layout: Layout;
  readonly #files: FileSystem;
  readonly #staging: Staging;

  constructor(layout: Layout, staging: Staging) {
    this.folders = new Folders(layout, staging.files);
    this.damaged = new DamagedFiles(layout, staging.files);
    this.#layout = layout;
    this.#files = staging.files;
    this.#staging = staging;
  }

  /**
   * Makes a stored blob durable and returns its facts; `null` if there is none.
   *
   * @throws FixityError as {@link openBlob} does
   */
  async confirm(digest: Digest): Promise<BlobStat | null> {
    const opened = await openBlob(this.#layout.blob(digest));
    if (opened === null) return null;
    const { fd, facts } = opened;
    try {
      await this.#flush(fd, digest);
      return statOf(digest, facts);
    } finally {
      await close(fd);
    }
  }

  /**
   * Whether the blob is stored, is kept and is durable. For bytes that are most likely new: then it
   * costs one call.
   */
  async confirmIfStored(publication: Publication): Promise<boolean> {
    // The look costs less than the flush that it may save. If nothing is flushed, the later link
    // reports the same.
    if (!this.#files.isDurable) return false;
    if ((await look(this.#layout.blob(publication.digest))) === null) return false;
    return (await this.#examine(publication, null))?.verdict === "keep";
  }

  /**
   * Gives a sealed file its name among the blobs, durably, and removes its staging name. A link
   * cannot replace what is there; whether a rename does is decided by {@link StoredVerdict}. After a
   * failure the file may or may not have been published.
   */
  async publish(file: SealedFile, publication: Publication): Promise<Committed> {
    const { digest } = publication;
    for (let attempts = 0; attempts < PUBLISH_ATTEMPTS_MAX; attempts += 1) {
      if (await this.#inFolder(digest, () => linkNew(file.path, this.#layout.blob(digest)))) {
        await Promise.all([this.folders.settle(digest), file.discard()]);
        return { existed: false };
      }
      const stored = await this.#examine(publication, null);
      if (stored === null) continue;
      if (stored.verdict !== "keep") await this.#replace(stored, file.path, publication);
      await file.discard();
      return { existed: stored.verdict !== "damaged" };
    }
    throw tooManyRemovals();
  }

  /**
   * Gives a file a second name among the blobs, durably. Idempotent: a blob that is this very file
   * is kept and does not count as stored before. `null` if only a copy can become a blob, because
   * the file system has no hard links.
   */
  async adopt({ path, seal }: AdoptedFile, publication: Publication): Promise<Committed | null> {
    const { digest } = publication;
    for (let attempts = 0; attempts < PUBLISH_ATTEMPTS_MAX; attempts += 1) {
      const stored = await this.#examine(publication, path);
      if (stored?.verdict === "keep") return { existed: !stored.isOwn };
      await seal();
      if (stored === null) {
        const linked = await this.#inFolder(digest, () => linkIfFree(path, this.#layout.blob(digest)));
        if (linked === null) return null;
        if (!linked) continue;
        await this.folders.settle(digest);
        return { existed: false };
      }
      // A rename takes the name away, so it gets one more.
      const staged = await this.#staging.link(path);
      if (staged === null) return null;
      try {
        await this.#replace(stored, staged, publication);
      } finally {
        // A rename does nothing if both names are of one file: another holder was first.
        await this.#files.remove(staged, "a staging file");
      }
      return { existed: stored.verdict !== "damaged" };
    }
    throw tooManyRemovals();
  }

  /**
   * What is to be done with the blob that is stored; `null` if there is none.
   *
   * @param adopted the path of a file that may be that blob
   * @throws FixityError as {@link openBlob} does
   */
  async #examine({ digest, size, judge }: Publication, adopted: string | null): Promise<StoredBlob | null> {
    const opened = await openBlob(this.#layout.blob(digest));
    if (opened === null) return null;
    const { fd, facts } = opened;
    try {
      if (facts.size !== size) return { facts, verdict: "damaged", isOwn: false };
      const isOwn = adopted !== null && (await isFile(adopted, facts));
      const verdict = isOwn ? "keep" : ((await judge?.(statOf(digest, facts))) ?? "keep");
      if (verdict === "keep") await this.#flush(fd, digest);
      return { facts, verdict, isOwn };
    } finally {
      await close(fd);
    }
  }

  /** Renames a sealed file over a stored blob, durably. */
  async #replace({ facts, verdict }: StoredBlob, path: string, { digest, size }: Publication): Promise<void> {
    if (verdict === "damaged") {
      const kept = await this.damaged.keep(digest, facts);
      const fault = facts.size === size ? "" : ` has ${facts.size} bytes and should have ${size}`;
      const where = kept === null ? "" : `; what was there is kept as ${kept}`;
      this.#files.log(`a damaged blob is replaced: ${digest.hex}${fault}${where}`);
    }
    await this.#inFolder(digest, () => rename(path, this.#layout.blob(digest)));
    await this.folders.settle(digest);
  }

  async #flush(fd: number, digest: Digest): Promise<void> {
    const flushes = [this.#files.flushForeignFile(fd), this.folders.settle(digest)];
    // A descriptor in use must not be closed: both flushes end before the first failure is thrown.
    await Promise.allSettled(flushes);
    await Promise.all(flushes);
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
}

/**
 * The folders that hold blobs, uploads and documents. A blob is durable when its own entry is and so are the
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

  /** Creates the folder of all documents, or of a collection of them. */
  async createDocuments(path: string): Promise<void> {
    this.#forgetAll();
    await this.#layout.modes.mkdirs(path);
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

  /** Makes durable which documents there are in the folder of a collection. */
  async settleDocuments(path: string): Promise<void> {
    const { documents, root } = this.#layout;
    const settled = this.#settle(path, documents);
    await Promise.all([settled, this.#settled.has(documents) ? null : this.#settle(documents, root)]);
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

/** Whether a path leads to the file with these facts. */
async function isFile(path: string, { dev, ino }: Stats): Promise<boolean> {
  const found = await statOrNull(path);
  return found !== null && found.ino === ino && found.dev === dev;
}

function tooManyRemovals(): FixityError {
  return new FixityError("store-unavailable", "The blob is removed as fast as it is stored.");
}
