import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { thisProcess } from "../../base/process-identity.ts";
import { runAll } from "../../base/run-all.ts";
import { ByteRange } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import type { DocumentStore } from "../../core/document-store.ts";
import { FixityError } from "../../core/errors.ts";
import type {
  CommitOptions,
  Committed,
  StagedBlob,
  StagedFile,
  StageFileOptions,
  StageOptions,
} from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import type { BlobReader, BlobStore, Collected, Misplaced, OpenOptions, RemovedDamage } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import type { Diagnosable, DiagnoseOptions, Finding } from "../doctor/finding.ts";
import { BatchBudget } from "./batch-writer.ts";
import {
  identityOf,
  openBlob,
  refuseDanglingLink,
  statBlob,
  statOf,
  walkBlobs,
  walkMisplaced,
  walkPrefix,
} from "./blob-files.ts";
import { close, stat, statOrNull, unlink } from "./calls.ts";
import { DiskReader } from "./disk-reader.ts";
import { DiskStagedFile } from "./disk-staged-file.ts";
import { DiskStagedBlob, StagingFile } from "./disk-staged-blob.ts";
import { DiskDocuments } from "./documents/disk-documents.ts";
import { failedWith, FileSystem, toFixityError, withStoreErrors } from "./file-system.ts";
import { assertKnownLayout, Layout } from "./layout.ts";
import type { ResolvedDiskOptions } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Staging } from "./staging.ts";
import { DiskUploads } from "./uploads/disk-uploads.ts";
import { UploadFolders } from "./uploads/upload-folders.ts";
import { DiskTakeovers } from "./uploads/upload-takeover.ts";
import { SmallBlobs } from "./write-threads.ts";

/**
 * Blobs as files in a folder. Any number of stores, in one process or in several, on one machine or
 * on several over a network file system, may share the folder. There are no locks.
 *
 * | in the folder (layout.ts) | created by | removed by |
 * | --- | --- | --- |
 * | `blobs/ab/abcdef…` | a commit: a second link to a complete, flushed file | `remove`; a commit that replaces it |
 * | `staging/<process>/<n>` | `stage`, one file for each upload | the upload itself; `collect`, once the process is dead |
 * | `uploads/<id>/` | `uploads.create` | `remove` of the upload only |
 * | `uploads/<process>/` | creation and removal of an upload, halfway | that call; `collect`, once the process is dead |
 * | `damaged/<hex>-<ms>` | a commit that replaces damaged bytes: a second link to them | `collect`, after 30 days; `removeDamaged` |
 * | `uploads/wanted/<lease>` | a takeover that asks another process | that takeover; `collect`, once the holder is dead |
 * | `documents/<collection>/<id>/` | the first `documents.write` of the name | `collect`, a day after `documents.remove` |
 * | `documents/.<process>/` | creation of a document, halfway | that call; `collect`, once the process is dead |
 *
 * A write (`DiskStagedBlob`) gathers bytes (`BatchWriter`) into a staging file (`Staging`), which
 * is flushed (`FileSystem`) and gets its name among the blobs (`Publisher`). Many small blobs at
 * once go through threads (`SmallBlobs`). Resumable uploads (`DiskUploads`) append to a file of
 * their own, which becomes a blob by a second link. Documents (`DiskDocuments`) share nothing with
 * blobs but the file system.
 *
 * A crash leaves staging files and scratch folders under the name of the dead process, an
 * unfinished upload as its last save left it, and nothing else: a blob has its name only once its
 * bytes are durable. A blob that was linked but not acknowledged is complete; its folder is flushed
 * when the same content is uploaded again.
 */
export class DiskStore implements BlobStore, Diagnosable {
  readonly kind = "disk";
  readonly replacesCheaply = true;
  readonly isLocal = true;
  readonly description: string;
  readonly uploads: UploadStore;
  readonly documents: DocumentStore;
  readonly #options: ResolvedDiskOptions;
  readonly #layout: Layout;
  readonly #files: FileSystem;
  readonly #staging: Staging;
  readonly #publisher: Publisher;
  readonly #smallBlobs: SmallBlobs;
  readonly #uploadFolders: UploadFolders;
  readonly #documents: DiskDocuments;
  readonly #budget = new BatchBudget();

  constructor(options: ResolvedDiskOptions) {
    const { root, givenRoot, durability, group, log } = options;
    const owner = thisProcess();
    this.description = durability === "none" ? `disk at ${givenRoot}, not flushed` : `disk at ${givenRoot}`;
    this.#options = options;
    this.#layout = new Layout(root, group);
    this.#files = new FileSystem(durability, log);
    this.#staging = new Staging(this.#layout, this.#files, owner);
    this.#publisher = new Publisher(this.#layout, this.#staging);
    const { folders } = this.#publisher;
    this.#smallBlobs = new SmallBlobs({
      layout: this.#layout,
      staging: this.#staging,
      folders,
      budget: this.#budget,
    });
    this.#uploadFolders = new UploadFolders(this.#layout, folders, this.#staging);
    this.uploads = new DiskUploads(this.#layout, {
      folders: this.#uploadFolders,
      takeovers: new DiskTakeovers(this.#layout, this.#files, owner),
      publisher: this.#publisher,
      budget: this.#budget,
      storeCopy: (bytes, digest, options) => this.#storeCopy(bytes, digest, options),
    });
    this.#documents = new DiskDocuments(this.#layout, folders, this.#staging);
    this.documents = this.#documents;
  }

  /**
   * Does once, on a small scale, what every upload will do, and collects. A full disk passes:
   * stored blobs can be read, and space may be freed.
   */
  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await withStoreErrors(async () => {
      await assertKnownLayout(this.#layout);
      try {
        await this.#publisher.folders.createBase();
        await this.#assertUsableFolders();
        await this.#collect(signal);
        await this.#writeProbe();
      } catch (error) {
        const fault = toFixityError(error);
        if (!(fault instanceof FixityError && fault.code === "store-full")) throw error;
        this.#options.log("the store is full: blobs can be read, uploads are refused", error);
      }
    });
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    const facts = await withStoreErrors(() => statBlob(this.#layout.blob(digest)));
    return facts === null ? null : statOf(digest, facts);
  }

  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    return withStoreErrors(() => this.#publisher.confirm(digest));
  }

  async open(digest: Digest, { range, signal }: OpenOptions = {}): Promise<BlobReader | null> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const opened = await openBlob(this.#layout.blob(digest));
      if (opened === null) return null;
      const { fd, facts } = opened;
      try {
        const { size } = facts;
        signal?.throwIfAborted();
        return new DiskReader({
          fd,
          size,
          facts,
          span: ByteRange.resolve(range, size),
          identity: identityOf(facts),
          signal,
        });
      } catch (error) {
        await close(fd);
        throw error;
      }
    });
  }

  filePath(digest: Digest): string {
    return this.#layout.blobBelowRoot(digest);
  }

  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    return walkBlobs(this.#layout, signal);
  }

  listPrefix(prefix: string, signal?: AbortSignal): AsyncIterable<BlobStat> {
    return walkPrefix(this.#layout, prefix, signal);
  }

  misplaced(signal?: AbortSignal): AsyncIterable<Misplaced> {
    return walkMisplaced(this.#layout, signal);
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const isRemoved = await unlinkBlob(this.#layout.blob(digest));
      // Flushed even if nothing was there: another process may have removed it a moment ago and not
      // flushed yet.
      const mayBeUnflushed = isRemoved || (await statOrNull(this.#layout.fanOut(digest))) !== null;
      if (mayBeUnflushed) await this.#publisher.folders.settle(digest);
      return isRemoved;
    });
  }

  async stage({ signal }: StageOptions = {}): Promise<StagedBlob> {
    signal?.throwIfAborted();
    return new DiskStagedBlob({
      staging: this.#staging,
      publisher: this.#publisher,
      smallBlobs: this.#smallBlobs,
      budget: this.#budget,
      signal,
    });
  }

  async stageFile(path: string, options: StageFileOptions): Promise<StagedFile | null> {
    options.signal?.throwIfAborted();
    const place = { layout: this.#layout, staging: this.#staging, publisher: this.#publisher };
    return withStoreErrors(() => DiskStagedFile.stage(path, { ...place, ...options }));
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return withStoreErrors(() => this.#collect(signal));
  }

  async removeDamaged(signal?: AbortSignal): Promise<RemovedDamage> {
    signal?.throwIfAborted();
    return withStoreErrors(() => this.#publisher.damaged.removeAll(signal));
  }

  /** Probes what the store needs from its folder, with small files that are removed again. */
  async *diagnose(options: DiagnoseOptions = {}): AsyncGenerator<Finding, void, undefined> {
    const { diagnoseFolder } = await import("./doctor/diagnose.ts");
    yield* diagnoseFolder(this.#options, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#smallBlobs[Symbol.asyncDispose]();
    await this.#files.retryRemovals();
    await this.#staging.close();
  }

  async #collect(signal: AbortSignal | undefined): Promise<Collected> {
    const own = await this.#files.retryRemovals();
    let ofTheDead: Collected = { staged: 0, bytes: 0 };
    const tasks = [
      () => this.#uploadFolders.collect(signal),
      () => this.#documents.collect(signal),
      async () => void (ofTheDead = await this.#staging.collect(signal)),
      () => this.#publisher.damaged.collect(signal),
    ];
    await runAll(tasks, signal);
    return { staged: own.staged + ofTheDead.staged, bytes: own.bytes + ofTheDead.bytes };
  }

  async #storeCopy(bytes: AsyncIterable<Uint8Array>, digest: Digest, options: CommitOptions): Promise<Committed> {
    await using staged = await this.stage();
    for await (const chunk of bytes) await staged.write(chunk);
    return staged.commit(digest, options);
  }

  async #assertUsableFolders(): Promise<void> {
    const { blobs, staging, uploads } = this.#layout;
    for (const path of [blobs, uploads]) await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    const devices = await Promise.all([blobs, staging, uploads].map(async (path) => (await stat(path)).dev));
    if (new Set(devices).size === 1) return;
    throw new FixityError(
      "store-misconfigured",
      "The store's folder must lie on one file system, with all that is in it.",
    );
  }

  async #writeProbe(): Promise<void> {
    const file = new StagingFile(await this.#staging.create(), this.#files);
    try {
      const bytes = Buffer.from("Can this be written?\n");
      await file.append([bytes], bytes.length);
      await file.seal();
      await this.#files.flushFolder(this.#layout.blobs);
    } finally {
      await file.discard();
    }
  }
}

async function unlinkBlob(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
    await refuseDanglingLink(path);
    return false;
  }
}
