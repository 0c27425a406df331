import { FixityError } from "../errors.ts";
import { type ByteSource, tooLarge } from "../hashing.ts";
import type { HeldUpload } from "../upload-store.ts";
import { Interruptible } from "./interruptible.ts";
import type { UploadHashes } from "./upload-hashes.ts";

/** What one pass works with. */
export interface AppendPassParts {
  readonly held: HeldUpload;
  readonly hashes: UploadHashes;
  /** Bytes of the whole upload, where that is known. */
  readonly length: number | null;
  /** Most bytes of the whole, and of this one pass. */
  readonly limits: { readonly maxSize: number; readonly maxAppendSize: number };
  /** Counts as a whole or not at all: nothing is saved on the way. */
  readonly whole: boolean;
  /** The record for the bytes that the hashes have seen by now. */
  readonly record: () => string;
  /** Told of every offset that is durable. */
  readonly onProgress: (offset: number) => void;
}

/**
 * Bytes of one request on their way to the end of an upload: counted, limited, hashed and written in one pass. On the way
 * they are saved where that costs least, so that little is lost with the process.
 */
export class AppendPass {
  readonly #parts: AppendPassParts;
  readonly #begin: number;
  #overran = false;
  /** A save on the way; never rejects. */
  #saving: Promise<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor(parts: AppendPassParts) {
    this.#parts = parts;
    this.#begin = parts.hashes.offset;
  }

  /** More came than there may be in the whole upload. */
  get overran(): boolean {
    return this.#overran;
  }

  /**
   * Takes all of a source. Fails where the source does, or where the upload is wanted by somebody else: what came until then
   * can still be saved.
   */
  async take(source: ByteSource): Promise<void> {
    for await (const bytes of new Interruptible(source, this.#parts.held.wanted)) {
      this.#check(bytes.length);
      const full = this.#write(bytes);
      if (full !== undefined) await full;
    }
  }

  /** Makes everything durable that came in. @param isLast the upload is not used any more afterwards */
  async save(isLast: boolean): Promise<void> {
    await this.#saving;
    this.#throwFailure();
    await this.#saveNow(isLast);
  }

  /** Waits for what is under way. */
  async settle(): Promise<void> {
    await this.#saving;
  }

  #check(coming: number): void {
    this.#throwFailure();
    const { hashes, length, limits } = this.#parts;
    const { maxSize, maxAppendSize } = limits;
    const offset = hashes.offset + coming;
    if (offset - this.#begin > maxAppendSize) throw tooMuch(maxAppendSize);
    if (offset <= (length ?? maxSize)) return;
    this.#overran = true;
    if (length === null) throw tooLarge(maxSize);
    throw new FixityError("inconsistent-length", "More bytes came in than the length of the upload.", {
      facts: { limit: length },
    });
  }

  #write(bytes: Uint8Array): Promise<void> | void {
    const { held, hashes, whole } = this.#parts;
    if (!whole && hashes.offset + bytes.length >= held.nextSave) return this.#writePieces(bytes);
    hashes.update(bytes);
    return held.write(bytes);
  }

  /** Writes up to each offset at which a save costs least, and begins one there where none is under way. */
  async #writePieces(bytes: Uint8Array): Promise<void> {
    const { held, hashes } = this.#parts;
    let rest = bytes;
    while (rest.length > 0) {
      const room = Math.max(held.nextSave - hashes.offset, 1);
      const piece = rest.subarray(0, room);
      rest = rest.subarray(piece.length);
      hashes.update(piece);
      await held.write(piece);
      if (piece.length === room) this.#beginSave();
    }
  }

  #beginSave(): void {
    if (this.#saving !== null) return;
    this.#saving = this.#saveNow()
      .catch((reason: unknown) => {
        this.#failure ??= { reason };
      })
      .finally(() => {
        this.#saving = null;
      });
  }

  async #saveNow(isLast = false): Promise<void> {
    const { held, hashes, record, onProgress } = this.#parts;
    const { offset } = hashes;
    await held.save(record(), isLast);
    onProgress(offset);
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.reason;
  }
}

/** For a request that brings more than one may. */
export function tooMuch(limit: number): FixityError {
  return new FixityError("append-limit-exceeded", `One request may bring ${limit} bytes at most.`, {
    facts: { limit },
  });
}
