import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed, StagedBlob } from "../../core/store.ts";
import { storeFault } from "./faults.ts";
import type { Batches } from "./batches.ts";
import type { Publisher } from "./publisher.ts";
import type { StagingFile } from "./staging-file.ts";

/** What a chunk costs besides its bytes. Counted, so that a sender of single bytes cannot make the batch long. */
const CHUNK_COST = 256;

/** Where a staged blob gets its file from, and where it goes. */
export interface StagedBlobParts {
  readonly publisher: Publisher;
  readonly batches: Batches;
  readonly createFile: () => Promise<StagingFile>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Bytes on their way into a disk store. One batch may be on its way to the file while the next one gathers, so an upload
 * holds twice a batch at most. A blob smaller than that needs no file until it is committed, and none if it is there
 * already.
 */
export class DiskStagedBlob implements StagedBlob {
  readonly #parts: StagedBlobParts;
  #chunks: Uint8Array[] = [];
  /** Bytes of `#chunks`, and what they cost with {@link CHUNK_COST}. */
  #length = 0;
  #cost = 0;
  /** All bytes ever written. */
  #size = 0;
  #file: StagingFile | null = null;
  /** Batches being written; never rejects. */
  #draining: Promise<void> | null = null;
  /** Resolved when the batch that gathers has been taken up for writing. */
  #room: PromiseWithResolvers<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A commit under way; never rejects. */
  #committing: Promise<void> | null = null;

  constructor(parts: StagedBlobParts) {
    this.#parts = parts;
    parts.batches.enter();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    this.#cost += bytes.length + CHUNK_COST;
    this.#size += bytes.length;
    if (this.#cost < this.#parts.batches.size) return;
    if (this.#draining === null) {
      this.#draining = this.#drain();
      return;
    }
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#committing = promise;
    try {
      await this.#draining;
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
    this.#dropChunks();
    await this.#draining;
    await this.#discardFile();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #publish(digest: Digest): Promise<Committed> {
    const { publisher, signal } = this.#parts;
    // Content that is known need not be written, or flushed, again.
    if ((await publisher.confirmKnown(digest, this.#size)) !== null) {
      this.#dropChunks();
      await this.#discardFile();
      return { existed: true };
    }
    signal?.throwIfAborted();
    const file = await this.#writeBatch();
    signal?.throwIfAborted();
    await file.seal();
    signal?.throwIfAborted();
    return publisher.publish(file, digest, this.#size);
  }

  /** Writes batch by batch for as long as whole ones are there. */
  async #drain(): Promise<void> {
    try {
      while (this.#cost >= this.#parts.batches.size && this.#ended === null) await this.#writeBatch();
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#draining = null;
      this.#giveRoom();
    }
  }

  /** Writes what has gathered, be it nothing, into the file that is there afterwards in any case. */
  async #writeBatch(): Promise<StagingFile> {
    this.#file ??= await this.#parts.createFile();
    const chunks = this.#chunks;
    const length = this.#length;
    this.#dropChunks();
    this.#giveRoom();
    if (length > 0) await this.#file.append(chunks, length);
    return this.#file;
  }

  #end(how: "committed" | "aborted"): void {
    if (this.#ended !== null) return;
    this.#ended = how;
    this.#parts.batches.leave();
  }

  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  #dropChunks(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#cost = 0;
  }

  /** After a failure the bytes are of no use; what they take up is given back at once. */
  async #fail(reason: unknown): Promise<void> {
    this.#failure ??= { reason: storeFault(reason) };
    this.#dropChunks();
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
