import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/store.ts";
import { openBlob, statBlob, statOf } from "./blob-files.ts";
import { close, link, look, rename, statOrNull } from "./calls.ts";
import type { Durability } from "./file-system.ts";
import { failedWith } from "./faults.ts";
import { HARD_LINKS_UNSUPPORTED } from "../../base/system-errors.ts";
import type { Folders } from "./folders.ts";
import type { Layout } from "./layout.ts";
import type { Log } from "./options.ts";
import type { StagingFile } from "./staging-file.ts";

/** A blob that is removed again and again between two looks is not worth more tries than this. */
const TRIES = 10;

/** A file that is to become a blob and keep its own name. */
export interface AdoptedFile {
  readonly path: string;
  readonly size: number;
  /** Makes the file durable, read-only and of this size. Called once it is known that it is needed. */
  readonly seal: () => Promise<void>;
}

/** Turns sealed staging files into blobs, and confirms those that are there. */
export class Publisher {
  readonly #layout: Layout;
  readonly #durability: Durability;
  readonly #folders: Folders;
  readonly #log: Log;

  constructor(layout: Layout, durability: Durability, folders: Folders, log: Log) {
    this.#layout = layout;
    this.#durability = durability;
    this.#folders = folders;
    this.#log = log;
  }

  /**
   * Makes durable the blob that is there and returns its facts; `null` if there is none, or if `size` is given and the
   * blob has another.
   *
   * @throws FixityError as {@link openBlob} does
   */
  async confirm(digest: Digest, size?: number): Promise<BlobStat | null> {
    const opened = await openBlob(this.#layout.blob(digest));
    if (opened === null) return null;
    const { fd, facts } = opened;
    try {
      if (size !== undefined && facts.size !== size) return null;
      await allDone([this.#durability.foreignFile(fd), this.#folders.settle(digest)]);
      return statOf(digest, facts);
    } finally {
      await close(fd);
    }
  }

  /** Like {@link confirm} for bytes that are most likely new: then it costs one call. */
  async confirmKnown(digest: Digest, size: number): Promise<BlobStat | null> {
    // the look pays by the flush that it may save; without one the link tells the same
    if (!this.#durability.flushes) return null;
    const facts = await look(this.#layout.blob(digest));
    return facts === null ? null : this.confirm(digest, size);
  }

  /**
   * Gives a sealed file its place among the blobs, durably. Nothing whole is ever written over: a second link cannot
   * replace what is there, and what is there is kept. After a failure the file may be published or not.
   */
  async publish(file: StagingFile, digest: Digest, size: number): Promise<Committed> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      if (await this.#place(file, digest)) {
        await Promise.all([this.#folders.settle(digest), file.discard()]);
        return { existed: false };
      }
      if ((await this.confirm(digest, size)) !== null) {
        await file.discard();
        return { existed: true };
      }
      if (await this.#replace(file, digest, size)) return { existed: false };
    }
    throw busy();
  }

  /**
   * Gives a file a second name among the blobs, durably. May be repeated: a blob that is this very file is none that was
   * there before. `null` where only a copy can be a blob: without hard links, or in the place of a damaged one.
   */
  async adopt({ path, size, seal }: AdoptedFile, digest: Digest): Promise<Committed | null> {
    const place = this.#layout.blob(digest);
    for (let tries = 0; tries < TRIES; tries += 1) {
      if ((await this.confirm(digest, size)) !== null) return { existed: !(await isOneFile(path, place)) };
      await seal();
      const linked = await this.#inFolder(digest, () => linkUnlessThere(path, place));
      if (linked === null) return null;
      if (linked) {
        await this.#folders.settle(digest);
        return { existed: false };
      }
      const found = await statOrNull(place);
      if (found !== null && found.size !== size) return null;
    }
    throw busy();
  }

  /** `false` where something is in the place. */
  async #place(file: StagingFile, digest: Digest): Promise<boolean> {
    return this.#inFolder(digest, () => linkNew(file.path, this.#layout.blob(digest)));
  }

  /** Makes the folder of a blob where it is missing. */
  async #inFolder<T>(digest: Digest, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
    // The folder is missing; or the file is, and then this fails as well.
    await this.#folders.make(digest);
    return work();
  }

  /** Puts the file over a blob of the wrong size; `false` where that is gone meanwhile, or whole. */
  async #replace(file: StagingFile, digest: Digest, size: number): Promise<boolean> {
    const place = this.#layout.blob(digest);
    const found = await statOrNull(place);
    if (found === null || (found.isFile() && found.size === size)) return false;
    this.#log(`a damaged blob is replaced: ${digest.hex} has ${found.size} bytes and should have ${size}`);
    await rename(file.path, place);
    await Promise.all([this.#folders.settle(digest), file.discard()]);
    return true;
  }
}

/** Fails as the first one that failed, but not before all have ended: a descriptor in use must not be closed. */
async function allDone(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

/**
 * Publishes by a second name for the same file; `false` where the new name is taken. Where the file system has no hard
 * links, by renaming after a look: should another process publish between the two, its blob, of the same bytes, is
 * replaced by this one.
 */
async function linkNew(from: string, to: string): Promise<boolean> {
  const linked = await linkUnlessThere(from, to);
  if (linked !== null) return linked;
  if ((await statBlob(to)) !== null) return false;
  await rename(from, to);
  return true;
}

/** `false` where the new name is taken, `null` where the file system has no hard links. */
async function linkUnlessThere(from: string, to: string): Promise<boolean | null> {
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

function busy(): FixityError {
  return new FixityError("store-unavailable", "The blob is being removed as fast as it is stored.");
}
