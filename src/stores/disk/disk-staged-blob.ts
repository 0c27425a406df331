import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { CommitOptions, Committed, StagedBlob } from "../../core/staged-blob.ts";
import { type BatchBudget, BatchWriter, writeChunks } from "./batch-writer.ts";
import { close } from "./calls.ts";
import { type FileSystem, toFixityError } from "./file-system.ts";
import type { Publication, Publisher } from "./publisher.ts";
import type { Staging, StagingPlace } from "./staging.ts";
import type { SmallBlobs } from "./write-threads.ts";

/** Bytes after which an early flush begins. */
const EARLY_FLUSH_BYTES = 32 * 1024 * 1024;

/** What a staged blob shares with its store. */
export interface StagedBlobOptions {
  readonly staging: Staging;
  readonly publisher: Publisher;
  readonly smallBlobs: SmallBlobs;
  readonly budget: BatchBudget;
  readonly signal: AbortSignal | undefined;
}

/**
 * Bytes on their way into a disk store. They gather in batches and are appended to a staging file.
 * A blob smaller than a batch needs no file before its commit, and none at all if it is already
 * stored. A commit:
 *
 * 1. hands a small new blob to a write thread, if those run (`SmallBlobs`); otherwise
 * 2. looks whether the blob is stored already and is to be kept, and confirms it if so;
 * 3. writes the rest to the staging file and flushes it;
 * 4. gives the file its name among the blobs, by a link or over the blob that is to be replaced,
 *    flushes the folder and removes the staging name.
 */
export class DiskStagedBlob implements StagedBlob {
  readonly #options: StagedBlobOptions;
  readonly #writer: BatchWriter;
  #size = 0;
  #file: StagingFile | null = null;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A commit in progress; never rejects. */
  #committing: Promise<void> | null = null;

  constructor(options: StagedBlobOptions) {
    this.#options = options;
    this.#writer = new BatchWriter(options.budget, (chunks, length) => this.#append(chunks, length));
    options.budget.enter();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#size += bytes.length;
    return this.#writer.write(bytes);
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    this.#assertUsable();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#committing = promise;
    try {
      await this.#writer.settle();
      this.#assertUsable();
      const committed = await this.#publish({ digest, size: this.#size, judge });
      this.#end("committed");
      return committed;
    } catch (error) {
      await this.#fail(error);
      throw toFixityError(error);
    } finally {
      resolve();
    }
  }

  async abort(): Promise<void> {
    await this.#committing;
    this.#end("aborted");
    if (this.#ended !== "aborted") return;
    await this.#writer.drop();
    await this.#discardFile();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #publish(publication: Publication): Promise<Committed> {
    const { publisher, smallBlobs, signal } = this.#options;
    if (this.#file === null) {
      const bytes = { chunks: this.#writer.gathered, size: this.#size };
      if (await smallBlobs.publish(publication.digest, bytes, signal)) {
        await this.#writer.drop();
        return { existed: false };
      }
    }
    if (await publisher.confirmIfStored(publication)) {
      await this.#writer.drop();
      await this.#discardFile();
      return { existed: true };
    }
    signal?.throwIfAborted();
    await this.#writer.flush();
    // A blob of zero bytes has no file yet.
    const file = (this.#file ??= await this.#createFile());
    signal?.throwIfAborted();
    await file.seal();
    signal?.throwIfAborted();
    return publisher.publish(file, publication);
  }

  async #append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    try {
      this.#file ??= await this.#createFile();
      await this.#file.append(chunks, length);
    } catch (error) {
      await this.#fail(error);
      throw toFixityError(error);
    }
  }

  async #createFile(): Promise<StagingFile> {
    const { staging } = this.#options;
    return new StagingFile(await staging.create(), staging.files);
  }

  #end(how: "committed" | "aborted"): void {
    if (this.#ended !== null) return;
    this.#ended = how;
    this.#options.budget.leave();
  }

  /** After a failure the bytes are useless; their space is freed at once. */
  async #fail(reason: unknown): Promise<void> {
    this.#failure ??= { reason: toFixityError(reason) };
    await this.#discardFile();
  }

  async #discardFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.discard();
  }

  #assertUsable(): void {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended !== null) throw new FixityError("internal-error", "The staged blob was committed or aborted.");
    this.#options.signal?.throwIfAborted();
  }
}

/** A staging file: it grows at its end until it is sealed. Its calls come one after another. */
export class StagingFile {
  readonly path: string;
  readonly #files: FileSystem;
  #fd: number | null;
  #unflushed = 0;
  #flushing: Promise<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor({ fd, path }: StagingPlace, files: FileSystem) {
    this.path = path;
    this.#fd = fd;
    this.#files = files;
  }

  async append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    const fd = this.#open();
    await writeChunks(fd, chunks, { length, position: null });
    this.#unflushed += length;
    if (this.#unflushed >= EARLY_FLUSH_BYTES && this.#flushing === null) this.#flushEarly(fd);
  }

  /**
   * Makes the bytes durable; nothing can be appended afterwards. The descriptor stays open and is
   * closed by `discard`, beside other work. If nothing is flushed it is closed here: a network file
   * system may report only now that bytes did not arrive.
   */
  async seal(): Promise<void> {
    await this.#flushing;
    const fd = this.#open();
    if (this.#files.isDurable) return this.#files.flushFile(fd, this.#unflushed);
    this.#fd = null;
    await close(fd);
  }

  /**
   * Closes the file and removes its staging name, which is its only one unless it was published.
   * Never throws.
   */
  async discard(): Promise<void> {
    await this.#flushing;
    const fd = this.#fd;
    this.#fd = null;
    const removed = this.#files.remove(this.path, "a staging file");
    await Promise.all([removed, fd === null ? null : this.#close(fd)]);
  }

  async #close(fd: number): Promise<void> {
    try {
      await close(fd);
    } catch (error) {
      this.#files.log("a staging file could not be closed", error);
    }
  }

  #open(): number {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#fd === null) throw new FixityError("internal-error", "The staging file is closed.");
    return this.#fd;
  }

  /**
   * A failure is final for the upload: a second flush of this descriptor could succeed although
   * bytes were lost.
   */
  #flushEarly(fd: number): void {
    const flush = this.#files.flushEarly(fd);
    if (flush === null) return;
    this.#unflushed = 0;
    this.#flushing = flush
      .catch((error: unknown) => {
        this.#failure = { reason: toFixityError(error) };
      })
      .then(() => {
        this.#flushing = null;
      });
  }
}
