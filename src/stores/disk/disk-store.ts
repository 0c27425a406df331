import { ByteRange } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import type { Committed, StagedBlob, StageOptions } from "../../core/staged-blob.ts";
import type { BlobReader, BlobStat, BlobStore, Collected, Misplaced, OpenOptions } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import type { Diagnosable, DiagnoseOptions, Finding } from "../doctor/finding.ts";
import { Batches } from "./batches.ts";
import { openBlob, refuseDanglingLink, statBlob, statOf } from "./blob-files.ts";
import { close, statOrNull, unlink } from "./calls.ts";
import { checkStore } from "./check.ts";
import { Collector } from "./collector.ts";
import { DiskReader } from "./disk-reader.ts";
import { DiskStagedBlob } from "./disk-staged-blob.ts";
import { Durability } from "./file-system.ts";
import { failedWith, faultsTold } from "./faults.ts";
import { Folders } from "./folders.ts";
import { InstanceFolder } from "./staging.ts";
import { Layout } from "./layout.ts";
import { Leftovers } from "./leftovers.ts";
import type { ResolvedDiskOptions } from "./options.ts";
import { thisProcess } from "../../base/process-identity.ts";
import { Publisher } from "./publisher.ts";
import { QuickPublisher } from "./quick-publisher.ts";
import { StagingFile } from "./staging-file.ts";
import { DiskUploads } from "./uploads/disk-uploads.ts";
import { Handover } from "./uploads/upload-takeover.ts";
import { UploadFolders } from "./uploads/upload-folders.ts";
import { WantedBox } from "./uploads/wanted-box.ts";
import { WriteThreads } from "./write-threads.ts";
import { walkBlobs, walkMisplaced } from "./walk.ts";

/** Blobs as files in a folder. Several stores, in one process or in many, may share the folder. */
export class DiskStore implements BlobStore, Diagnosable {
  readonly kind = "disk";
  readonly description: string;
  readonly uploads: UploadStore;
  readonly #options: ResolvedDiskOptions;
  readonly #layout: Layout;
  readonly #durability: Durability;
  readonly #folders: Folders;
  readonly #instance: InstanceFolder;
  readonly #leftovers: Leftovers;
  readonly #publisher: Publisher;
  readonly #threads: WriteThreads;
  readonly #quick: QuickPublisher;
  readonly #collector: Collector;
  readonly #uploadFolders: UploadFolders;
  readonly #batches = new Batches();

  constructor(options: ResolvedDiskOptions) {
    const { root, givenRoot, durability, group, log } = options;
    const owner = thisProcess();
    this.description = durability === "none" ? `disk at ${givenRoot}, not flushed` : `disk at ${givenRoot}`;
    this.#options = options;
    this.#layout = new Layout(root, group);
    this.#durability = new Durability(durability);
    this.#folders = new Folders(this.#layout, this.#durability, log);
    this.#leftovers = new Leftovers(log);
    this.#instance = new InstanceFolder(this.#layout, owner, log);
    this.#publisher = new Publisher(this.#layout, this.#durability, this.#folders, log);
    this.#threads = new WriteThreads(log, this.#leftovers);
    this.#quick = new QuickPublisher({
      layout: this.#layout,
      instance: this.#instance,
      folders: this.#folders,
      durability: this.#durability,
      batches: this.#batches,
      threads: this.#threads,
      leftovers: this.#leftovers,
      log,
    });
    this.#collector = new Collector(this.#layout, this.#instance, log);
    this.#uploadFolders = new UploadFolders(this.#layout, this.#folders, {
      durability: this.#durability,
      leftovers: this.#leftovers,
      owner,
      instance: this.#instance,
    });
    this.uploads = new DiskUploads(this.#layout, {
      folders: this.#uploadFolders,
      handover: new Handover(owner, new WantedBox(this.#layout, this.#leftovers, log), log),
      publisher: this.#publisher,
      durability: this.#durability,
      batches: this.#batches,
      log,
      keepCopy: (bytes, digest) => this.#keepCopy(bytes, digest),
    });
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await faultsTold(() =>
      checkStore({
        layout: this.#layout,
        folders: this.#folders,
        durability: this.#durability,
        log: this.#options.log,
        collect: () => this.#collect(signal),
        createFile: () => this.#createFile(),
      }),
    );
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    const facts = await faultsTold(() => statBlob(this.#layout.blob(digest)));
    return facts === null ? null : statOf(digest, facts);
  }

  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    return faultsTold(() => this.#publisher.confirm(digest));
  }

  async open(digest: Digest, { range, signal }: OpenOptions = {}): Promise<BlobReader | null> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const opened = await openBlob(this.#layout.blob(digest));
      if (opened === null) return null;
      const { fd, facts } = opened;
      try {
        const { size } = facts;
        signal?.throwIfAborted();
        return new DiskReader({ fd, size, span: ByteRange.resolve(range, size), signal });
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

  misplaced(signal?: AbortSignal): AsyncIterable<Misplaced> {
    return walkMisplaced(this.#layout, signal);
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const removed = await unlinkExisting(this.#layout.blob(digest));
      // Also where nothing was there: another's removal of a moment ago may not be durable yet.
      if (removed || (await statOrNull(this.#layout.fanOut(digest))) !== null) await this.#folders.settle(digest);
      return removed;
    });
  }

  async stage({ signal }: StageOptions = {}): Promise<StagedBlob> {
    signal?.throwIfAborted();
    return new DiskStagedBlob({
      publisher: this.#publisher,
      quick: this.#quick,
      batches: this.#batches,
      createFile: () => this.#createFile(),
      signal,
    });
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return faultsTold(() => this.#collect(signal));
  }

  /** Tries out what is needed of the folder, with small files that are thrown away. */
  async *diagnose(options: DiagnoseOptions = {}): AsyncGenerator<Finding, void, undefined> {
    const { diagnoseFolder } = await import("./doctor/diagnose.ts");
    yield* diagnoseFolder(this.#options, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
    await this.#leftovers.retry();
    await this.#instance.remove();
  }

  async #collect(signal: AbortSignal | undefined): Promise<Collected> {
    const own = await this.#leftovers.retry();
    await this.#uploadFolders.collect(signal);
    const ofTheDead = await this.#collector.collect(signal);
    return { staged: own.staged + ofTheDead.staged, bytes: own.bytes + ofTheDead.bytes };
  }

  async #keepCopy(bytes: AsyncIterable<Uint8Array>, digest: Digest): Promise<Committed> {
    await using staged = await this.stage();
    for await (const chunk of bytes) await staged.write(chunk);
    return staged.commit(digest);
  }

  async #createFile(): Promise<StagingFile> {
    return new StagingFile(await this.#instance.create(), {
      durability: this.#durability,
      leftovers: this.#leftovers,
      log: this.#options.log,
    });
  }
}

async function unlinkExisting(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
    await refuseDanglingLink(path);
    return false;
  }
}
