import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed } from "../../core/store.ts";
import type { HeldUpload } from "../../core/upload-store.ts";
import { Hold } from "../uploads/hold.ts";
import { keepBlob, type MemoryBlobs } from "./memory-blob.ts";
import type { MemoryUpload } from "./memory-uploads.ts";

/** Bytes between two saves. One costs nothing here, but that a caller does it. */
const SAVE_EVERY = 1024 * 1024;

/** What an upload is held with. */
export interface MemoryHeldUploadParts {
  readonly upload: MemoryUpload;
  readonly blobs: MemoryBlobs;
  readonly remove: () => void;
}

/** An upload in memory, in the hands of its holder. */
export class MemoryHeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #parts: MemoryHeldUploadParts;
  readonly #upload: MemoryUpload;
  readonly #hold = new Hold();
  /** Written since the last save. */
  #chunks: Uint8Array[] = [];
  #length = 0;
  #released = false;

  constructor(parts: MemoryHeldUploadParts) {
    this.#parts = parts;
    this.#upload = parts.upload;
    this.#upload.hold = this.#hold;
  }

  get record(): string {
    return this.#upload.record;
  }

  get offset(): number {
    return this.#upload.offset;
  }

  get takeover(): AbortSignal {
    return this.#hold.wanted;
  }

  get nextSave(): number {
    return this.offset + this.#length - (this.#length % SAVE_EVERY) + SAVE_EVERY;
  }

  write(bytes: Uint8Array): void {
    this.#assertHeld();
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  async save(record: string): Promise<void> {
    this.#assertHeld();
    this.#keep(record);
    this.#upload.chunks.push(...this.#chunks);
    this.#upload.offset += this.#length;
    this.#drop();
  }

  async renew(record: string): Promise<void> {
    this.#assertHeld();
    this.#keep(record);
  }

  async *read(from = 0): AsyncGenerator<Uint8Array> {
    let skip = from;
    for (const chunk of this.#upload.chunks) {
      this.#assertHeld();
      // A copy: what is given away may be written to.
      if (skip < chunk.length) yield Buffer.from(chunk.subarray(skip));
      skip = Math.max(skip - chunk.length, 0);
    }
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertHeld();
    return keepBlob(this.#parts.blobs, digest, this.#upload.chunks);
  }

  async conclude(record: string): Promise<void> {
    this.#assertHeld();
    this.#drop();
    this.#keep(record);
    this.#upload.isEnded = true;
    this.#upload.chunks = [];
    this.#upload.offset = 0;
  }

  async remove(): Promise<void> {
    this.#assertHeld();
    this.#parts.remove();
    this.#release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
  }

  #keep(record: string): void {
    this.#upload.record = record;
    this.#upload.modified = Date.now();
  }

  #release(): void {
    this.#released = true;
    this.#drop();
    if (this.#upload.hold === this.#hold) this.#upload.hold = null;
    this.#hold.end();
  }

  #drop(): void {
    this.#chunks = [];
    this.#length = 0;
  }

  #assertHeld(): void {
    this.#hold.assertKept();
    if (this.#released) throw new FixityError("internal-error", "The upload was released or removed.");
  }
}
