import type { Digest } from "../../core/digest.ts";
import type { Batches } from "./batches.ts";
import type { Durability } from "./file-system.ts";
import { folderFault } from "./folder-flush.ts";
import type { Folders } from "./folders.ts";
import type { InstanceFolder } from "./staging.ts";
import type { Layout } from "./layout.ts";
import type { Leftovers } from "./leftovers.ts";
import type { Log } from "./options.ts";
import { StagingFile } from "./staging-file.ts";
import type { BlobPaths } from "./write-blob.ts";
import type { CallFailure } from "./write-worker.ts";
import type { BlobBytes, WriteThreads } from "./write-threads.ts";

/** Most bytes of a blob that goes this way: 64 KiB. A larger one is worth calls of its own. */
const SMALL = 64 * 1024;
/** Uploads at once from which threads pay. A process that stores a file now and then never starts them. */
const MANY = 4;

/** What a quick publisher works with. */
export interface QuickPublisherParts {
  readonly layout: Layout;
  readonly instance: InstanceFolder;
  readonly folders: Folders;
  readonly durability: Durability;
  readonly batches: Batches;
  readonly threads: WriteThreads;
  readonly leftovers: Leftovers;
  readonly log: Log;
}

/**
 * The short way of small new blobs, where many come in: a message to a thread and one back (two of them around the flush of
 * a file that is flushed), in place of five calls or ten that each pass through Node's pool. It knows only the usual
 * course; `Publisher` knows all others.
 */
export class QuickPublisher {
  readonly #parts: QuickPublisherParts;

  constructor(parts: QuickPublisherParts) {
    this.#parts = parts;
  }

  /**
   * Writes and publishes a blob. `false` where it has to go the long way: nothing was done then, or (by a thread that
   * died) nothing that the long way would not find. The chunks stay the caller's.
   */
  async publish(digest: Digest, bytes: BlobBytes, signal: AbortSignal | undefined): Promise<boolean> {
    const { layout, instance, folders, durability, batches, threads } = this.#parts;
    if (bytes.size > SMALL) return false;
    if (batches.uploads >= MANY) threads.start();
    if (!threads.ready) return false;
    // the first one in a folder has to make that durable as well
    if (durability.flushes && !folders.isSettled(digest)) return false;
    const paths = {
      staged: await instance.place(),
      place: layout.blob(digest),
      mode: layout.modes.blob,
      gid: layout.modes.gid,
    };
    if (durability.flushes) return this.#publishDurably(paths, bytes, signal);
    return (await threads.make(paths, bytes)).is === "published";
  }

  /** Files are flushed by Node's pool, each for itself: flushes at the same time share what the disk does for them. */
  async #publishDurably(paths: BlobPaths, bytes: BlobBytes, signal: AbortSignal | undefined): Promise<boolean> {
    const { threads } = this.#parts;
    const staged = await threads.stage(paths, bytes);
    if (staged.is !== "staged") return false;
    try {
      signal?.throwIfAborted();
      await this.#parts.durability.file(staged.fd, bytes.size);
      signal?.throwIfAborted();
    } catch (error) {
      await new StagingFile({ path: paths.staged, fd: staged.fd }, this.#parts).discard();
      throw error;
    }
    const published = await threads.publish(paths, staged.fd);
    if (published.is === "unflushed") throw folderFault(asError(published.failure));
    return published.is === "published";
  }
}

function asError({ message, ...facts }: CallFailure): Error {
  return Object.assign(new Error(message), facts);
}
