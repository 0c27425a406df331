import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed, StagedBlob } from "../../core/staged-blob.ts";
import { storeFault } from "./faults.ts";
import { BatchWriter } from "./batch-writer.ts";
import type { Batches } from "./batches.ts";
import type { Publisher } from "./publisher.ts";
import type { QuickPublisher } from "./quick-publisher.ts";
import type { StagingFile } from "./staging-file.ts";

/** Where a staged blob gets its file from, and where it goes. */
export interface StagedBlobParts {
  readonly publisher: Publisher;
  readonly quick: QuickPublisher;
  readonly batches: Batches;
  readonly createFile: () => Promise<StagingFile>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Bytes on their way into a disk store. A blob smaller than a batch needs no file until it is committed, and none if it is
 * there already.
 */
export class DiskStagedBlob implements StagedBlob {
  readonly #parts: StagedBlobParts;
  readonly #writer: BatchWriter;
  /** All bytes ever written. */
  #size = 0;
  #file: StagingFile | null = null;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A commit under way; never rejects. */
  #committing: Promise<void> | null = null;

  constructor(parts: StagedBlobParts) {
    this.#parts = parts;
    this.#writer = new BatchWriter(parts.batches, (chunks, length) => this.#append(chunks, length));
    parts.batches.enter();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#size += bytes.length;
    return this.#writer.write(bytes);
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#committing = promise;
    try {
      await this.#writer.settle();
      this.#assertUsable();
      const committed = await this.#publish(digest);
      this.#end("committed");
      return committed;
    } catch (error) {
      await this.#fail(error);
      throw storeFault(error);
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

  async #publish(digest: Digest): Promise<Committed> {
    const { publisher, quick, signal } = this.#parts;
    if (this.#file === null) {
      const bytes = { chunks: this.#writer.gathered, size: this.#size };
      if (await quick.publish(digest, bytes, signal)) {
        await this.#writer.drop();
        return { existed: false };
      }
    }
    // Content that is known need not be written, or flushed, again.
    if ((await publisher.confirmKnown(digest, this.#size)) !== null) {
      await this.#writer.drop();
      await this.#discardFile();
      return { existed: true };
    }
    signal?.throwIfAborted();
    await this.#writer.flush();
    // also for a blob of no bytes
    this.#file ??= await this.#parts.createFile();
    const file = this.#file;
    signal?.throwIfAborted();
    await file.seal();
    signal?.throwIfAborted();
    return publisher.publish(file, digest, this.#size);
  }

  async #append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    try {
      this.#file ??= await this.#parts.createFile();
      await this.#file.append(chunks, length);
    } catch (error) {
      await this.#fail(error);
      throw storeFault(error);
    }
  }

  #end(how: "committed" | "aborted"): void {
    if (this.#ended !== null) return;
    this.#ended = how;
    this.#parts.batches.leave();
  }

  /** After a failure the bytes are of no use; what they take up is given back at once. */
  async #fail(reason: unknown): Promise<void> {
    this.#failure ??= { reason: storeFault(reason) };
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
    this.#parts.signal?.throwIfAborted();
  }
}
