import type { ByteSpan } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobIdentity, BlobStat } from "../../core/blob-stat.ts";
import type { BlobReader } from "../../core/store.ts";
import type { CommitOptions, Committed, StagedBlob } from "../../core/staged-blob.ts";

/** Bytes that a reader yields at a time. */
const READ_CHUNK_BYTES = 64 * 1024;

/** A blob in memory. */
export interface MemoryBlob {
  readonly stat: BlobStat;
  readonly bytes: Uint8Array;
}

/** All blobs of a store. */
export class MemoryBlobs {
  readonly #blobs = new Map<string, MemoryBlob>();
  /** Copies stored so far; the identity of each is its number. */
  #copies = 0;

  get(digest: Digest): MemoryBlob | null {
    return this.#blobs.get(digest.hex) ?? null;
  }

  all(): Iterable<MemoryBlob> {
    return this.#blobs.values();
  }

  /** Makes a blob of the chunks, unless one of the same size is stored and is to be kept. */
  async commit(digest: Digest, chunks: readonly Uint8Array[], { judge }: CommitOptions): Promise<Committed> {
    const bytes = Buffer.concat(chunks);
    for (;;) {
      const stored = this.get(digest);
      const isWhole = stored?.bytes.length === bytes.length;
      const verdict = isWhole ? ((await judge?.(stored.stat)) ?? "keep") : "damaged";
      // Meanwhile another commit may have replaced the blob, or it was removed.
      if (this.get(digest) !== stored) continue;
      if (verdict !== "keep") this.#put(digest, bytes);
      return { existed: verdict !== "damaged" };
    }
  }

  remove(digest: Digest): boolean {
    return this.#blobs.delete(digest.hex);
  }

  #put(digest: Digest, bytes: Uint8Array): void {
    this.#copies += 1;
    const stat = { digest, size: bytes.length, modified: new Date(), identity: String(this.#copies) };
    this.#blobs.set(digest.hex, { bytes, stat });
  }
}

/** Bytes on their way into a memory store. */
export class MemoryStagedBlob implements StagedBlob {
  readonly #blobs: MemoryBlobs;
  readonly #signal: AbortSignal | undefined;
  #chunks: Uint8Array[] = [];
  #hasEnded = false;

  constructor(blobs: MemoryBlobs, signal: AbortSignal | undefined) {
    this.#blobs = blobs;
    this.#signal = signal;
  }

  write(bytes: Uint8Array): void {
    this.#assertUsable();
    this.#chunks.push(bytes);
  }

  async commit(digest: Digest, options: CommitOptions = {}): Promise<Committed> {
    this.#assertUsable();
    const chunks = this.#chunks;
    this.#end();
    return this.#blobs.commit(digest, chunks, options);
  }

  async abort(): Promise<void> {
    this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#chunks = [];
  }

  #assertUsable(): void {
    if (this.#hasEnded) throw new FixityError("internal-error", "The staged blob was committed or aborted.");
    this.#signal?.throwIfAborted();
  }
}

/** What a {@link MemoryReader} reads. */
export interface BytesInMemory {
  readonly bytes: Uint8Array;
  readonly identity?: BlobIdentity | undefined;
}

/** A blob that is read from memory. */
export class MemoryReader implements BlobReader {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #bytes: Uint8Array;
  readonly #signal: AbortSignal | undefined;
  #isClosed = false;

  constructor({ bytes, identity }: BytesInMemory, span: ByteSpan, signal: AbortSignal | undefined) {
    this.size = bytes.length;
    this.span = span;
    if (identity !== undefined) this.identity = identity;
    this.#bytes = bytes;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let start = this.span.start; start < this.span.end; start += READ_CHUNK_BYTES) {
      this.#signal?.throwIfAborted();
      if (this.#isClosed) throw new FixityError("store-unavailable", "The blob was closed before its end.");
      // A copy: the receiver may write to it, and a blob never changes.
      yield Buffer.from(this.#bytes.subarray(start, Math.min(start + READ_CHUNK_BYTES, this.span.end)));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
  }
}
