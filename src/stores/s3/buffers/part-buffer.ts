import { createHash, type Hash } from "node:crypto";

/**
 * Chunks below this size are copied together. A chunk costs some 200 bytes besides its own and keeps the whole buffer alive
 * that it is a slice of, so a sender of single bytes could otherwise make the store hold many times what it has sent.
 */
const MIN_CHUNK_BYTES = 2 * 1024;

/** Size of a block that small chunks are copied into. */
const BLOCK_BYTES = 16 * 1024;

/** The content that a buffer hands over. */
export interface TakenBytes {
  readonly chunks: readonly Uint8Array[];
  /** SHA-256 in hex; `null` unless {@link PartBuffer.hashNext} was called before the first byte. */
  readonly digest: string | null;
}

/** Collects the bytes of a part as they arrive, without joining them. */
export class PartBuffer {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** The unused end of the block that the last chunk lies in. */
  #free: Uint8Array = new Uint8Array();
  #hash: Hash | null = null;

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  /** Adds bytes, which belong to the buffer from now on. */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    this.#hash?.update(bytes);
    // The first chunk may be the whole file, so it is never copied.
    if (bytes.length >= MIN_CHUNK_BYTES || this.#chunks.length === 0) {
      this.#chunks.push(bytes);
      this.#free = new Uint8Array();
    } else {
      this.#copy(bytes);
    }
  }

  /** A snapshot of the content, which stays in the buffer. */
  get chunks(): readonly Uint8Array[] {
    return [...this.#chunks];
  }

  /**
   * Hashes what is added from now on, up to the next {@link take}; the buffer must be empty. Hashing bytes as they arrive,
   * while they are in the processor's cache, costs seven tenths of hashing a full part.
   */
  hashNext(): void {
    this.#hash = createHash("sha256");
  }

  /** Hands over the content and empties the buffer. */
  take(): TakenBytes {
    const taken = { chunks: this.#chunks, digest: this.#hash?.digest("hex") ?? null };
    this.#chunks = [];
    this.#length = 0;
    this.#free = new Uint8Array();
    this.#hash = null;
    return taken;
  }

  #copy(bytes: Uint8Array): void {
    if (this.#free.length < bytes.length) {
      this.#free = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#chunks.push(this.#free.subarray(0, 0));
    }
    this.#free.set(bytes);
    // The last chunk ends where the free space begins, and grows into it.
    const last = this.#chunks.at(-1) ?? this.#free;
    this.#chunks[this.#chunks.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
    this.#free = this.#free.subarray(bytes.length);
  }
}
