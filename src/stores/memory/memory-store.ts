import { ByteRange } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import type {
  BlobReader,
  BlobStat,
  BlobStore,
  Collected,
  OpenOptions,
  StagedBlob,
  StageOptions,
} from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import type { MemoryBlobs } from "./memory-blob.ts";
import { MemoryReader } from "./memory-reader.ts";
import { MemoryStagedBlob } from "./memory-staged-blob.ts";
import { MemoryUploads } from "./memory-uploads.ts";

/**
 * Blobs in this process's memory: the port in its plainest form, to be read beside the contract. What it holds is as
 * durable as the process.
 */
export class MemoryStore implements BlobStore {
  readonly kind = "memory";
  readonly description = "memory";
  readonly #blobs: MemoryBlobs = new Map();
  readonly uploads: UploadStore = new MemoryUploads(this.#blobs);

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    return this.#blobs.get(digest.hex)?.stat ?? null;
  }

  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.stat(digest, signal);
  }

  async open(digest: Digest, { range, signal }: OpenOptions = {}): Promise<BlobReader | null> {
    signal?.throwIfAborted();
    const blob = this.#blobs.get(digest.hex);
    return blob === undefined
      ? null
      : new MemoryReader(blob.bytes, ByteRange.resolve(range, blob.bytes.length), signal);
  }

  async *list(signal?: AbortSignal): AsyncGenerator<BlobStat> {
    for (const { stat } of this.#blobs.values()) {
      signal?.throwIfAborted();
      yield stat;
    }
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return this.#blobs.delete(digest.hex);
  }

  async stage({ signal }: StageOptions = {}): Promise<StagedBlob> {
    signal?.throwIfAborted();
    return new MemoryStagedBlob(this.#blobs, signal);
  }

  /** What dies with a process needs no collecting. */
  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return { staged: 0, bytes: 0 };
  }

  /** Nothing is held that the store's own end does not free. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
