/**
 * Chunks smaller than this are copied together. Each chunk costs some 200 bytes besides its own, and keeps alive whatever
 * larger buffer it is a piece of; so a sender of single bytes could hold many times what he has sent.
 */
const SMALL = 2 * 1024;

/** Bytes of a block that small chunks are copied into. */
const BLOCK = 16 * 1024;

/** The bytes of a part as they came in, not joined. */
export class PartBuffer {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** What is left of the block behind the last chunk. */
  #rest: Uint8Array = new Uint8Array();

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  /** Takes bytes; they are the buffer's from now on. */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
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

  /** Gives all bytes away. */
  take(): readonly Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#length = 0;
    this.#rest = new Uint8Array();
    return chunks;
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
