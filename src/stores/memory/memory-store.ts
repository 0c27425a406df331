import { ByteRange } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import type { DocumentStore } from "../../core/document-store.ts";
import type { StagedBlob, StageOptions } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import type { BlobReader, BlobStore, Collected, OpenOptions } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import { MemoryBlobs, MemoryReader, MemoryStagedBlob } from "./memory-blobs.ts";
import { MemoryDocuments } from "./memory-documents.ts";
import { MemoryUploads } from "./memory-uploads.ts";

/**
 * Blobs in the memory of this process: the port in its plainest form, to be read beside the
 * contract. `MemoryBlobs` holds the blobs, `MemoryUploads` the resumable uploads, `MemoryDocuments` the
 * documents. Nothing outlives the process, so there is nothing to make durable and nothing to
 * collect.
 */
export class MemoryStore implements BlobStore {
  readonly kind = "memory";
  readonly replacesCheaply = true;
  readonly isLocal = true;
  readonly description = "memory";
  readonly #blobs = new MemoryBlobs();
  readonly uploads: UploadStore = new MemoryUploads(this.#blobs);
  readonly documents: DocumentStore = new MemoryDocuments();

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    return this.#blobs.get(digest)?.stat ?? null;
  }

  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.stat(digest, signal);
  }

  async open(digest: Digest, { range, signal }: OpenOptions = {}): Promise<BlobReader | null> {
    signal?.throwIfAborted();
    const blob = this.#blobs.get(digest);
    if (blob === null) return null;
    const { bytes, stat } = blob;
    return new MemoryReader({ bytes, identity: stat.identity }, ByteRange.resolve(range, bytes.length), signal);
  }

  async *list(signal?: AbortSignal): AsyncGenerator<BlobStat> {
    for (const { stat } of this.#blobs.all()) {
      signal?.throwIfAborted();
      yield stat;
    }
  }

  async *listPrefix(prefix: string, signal?: AbortSignal): AsyncGenerator<BlobStat> {
    signal?.throwIfAborted();
    for await (const stat of this.list(signal)) if (stat.digest.hex.startsWith(prefix)) yield stat;
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return this.#blobs.remove(digest);
  }

  async stage({ signal }: StageOptions = {}): Promise<StagedBlob> {
    signal?.throwIfAborted();
    return new MemoryStagedBlob(this.#blobs, signal);
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return { staged: 0, bytes: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
