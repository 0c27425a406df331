import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed, StagedBlob } from "../../core/store.ts";
import { keepBlob, type MemoryBlobs } from "./memory-blob.ts";

/** Bytes on their way into a memory store. */
export class MemoryStagedBlob implements StagedBlob {
  readonly #blobs: MemoryBlobs;
  readonly #signal: AbortSignal | undefined;
  #chunks: Uint8Array[] = [];
  #ended = false;

  constructor(blobs: MemoryBlobs, signal: AbortSignal | undefined) {
    this.#blobs = blobs;
    this.#signal = signal;
  }

  write(bytes: Uint8Array): void {
    this.#assertUsable();
    this.#chunks.push(bytes);
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    this.#ended = true;
    const chunks = this.#chunks;
    this.#chunks = [];
    return keepBlob(this.#blobs, digest, chunks);
  }

  async abort(): Promise<void> {
    this.#ended = true;
    this.#chunks = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #assertUsable(): void {
    if (this.#ended) throw new FixityError("internal-error", "The staged blob was committed or aborted.");
    this.#signal?.throwIfAborted();
  }
}
