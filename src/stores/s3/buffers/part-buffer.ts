import { createHash, type Hash } from "node:crypto";

/**
 * Chunks smaller than this are copied together. Each chunk costs some 200 bytes besides its own, and keeps alive whatever
 * larger buffer it is a piece of; so a sender of single bytes could hold many times what he has sent.
 */
const SMALL = 2 * 1024;

/** Bytes of a block that small chunks are copied into. */
const BLOCK = 16 * 1024;

/** What a buffer gives away. */
export interface TakenBytes {
  readonly chunks: readonly Uint8Array[];
  /** SHA-256 in hex, where it was asked for beforehand. */
  readonly digest: string | null;
}

/** The bytes of a part as they came in, not joined. */
export class PartBuffer {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** What is left of the block behind the last chunk. */
  #rest: Uint8Array = new Uint8Array();
  #hash: Hash | null = null;

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  /** Takes bytes; they are the buffer's from now on. */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    this.#hash?.update(bytes);
    // The first one may be all there is.
    if (bytes.length >= SMALL || this.#chunks.length === 0) {
      this.#chunks.push(bytes);
      this.#rest = new Uint8Array();
    } else {
      this.#copy(bytes);
    }
  }

  /** The bytes, which stay the buffer's too: what is added later is not among them. */
  get chunks(): readonly Uint8Array[] {
    return [...this.#chunks];
  }

  /**
   * The digest of what comes from now on, up to the next {@link take}, will be asked for. Bytes are hashed as they come in,
   * while they are still in the processor's cache, for seven tenths of what it costs when a part is full. Nothing is held yet.
   */
  digestNext(): void {
    this.#hash = createHash("sha256");
  }

  /** Gives all bytes away. */
  take(): TakenBytes {
    const taken = { chunks: this.#chunks, digest: this.#hash?.digest("hex") ?? null };
    this.#chunks = [];
    this.#length = 0;
    this.#rest = new Uint8Array();
    this.#hash = null;
    return taken;
  }

  #copy(bytes: Uint8Array): void {
    if (this.#rest.length < bytes.length) {
      this.#rest = Buffer.allocUnsafeSlow(BLOCK);
      this.#chunks.push(this.#rest.subarray(0, 0));
    }
    this.#rest.set(bytes);
    // The last chunk lies right in front of the rest and grows into it.
    const last = this.#chunks.at(-1) ?? this.#rest;
    this.#chunks[this.#chunks.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
    this.#rest = this.#rest.subarray(bytes.length);
  }
}
