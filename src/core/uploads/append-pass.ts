import { FixityError } from "../errors.ts";
import { type ByteSource, type Hashes, sizeLimitExceeded } from "../intake.ts";
import type { HeldUpload } from "../upload-store.ts";
import { Interruptible } from "../interruptible-source.ts";

/** What one pass works with. */
export interface AppendPassParts {
  readonly held: HeldUpload;
  readonly hashes: Hashes;
  /** Bytes of the whole upload, where that is known. */
  readonly length: number | null;
  /** Most bytes of the whole, and of this one pass. */
  readonly limits: { readonly maxSize: number; readonly maxAppendSize: number };
  /** The bytes count as a whole or not at all: nothing is saved on the way. */
  readonly whole: boolean;
  /** Aborted when the service is being closed. */
  readonly stopped: AbortSignal;
  /** The record for the bytes that the hashes have seen by now. */
  readonly record: () => string;
  /** Called with every offset that has become durable. */
  readonly onProgress: (offset: number) => void;
}

/**
 * Bytes of one request on their way to the end of an upload: counted, limited, hashed and written in one pass. On the way
 * they are saved, so that little is lost with the process: at the offsets where that costs least, and at every
 * {@link saveProgress}.
 */
export class AppendPass {
  readonly #parts: AppendPassParts;
  readonly #begin: number;
  #overran = false;
  /** The offset of the last save that has begun. */
  #savedUntil: number;
  /** A write is under way. The store may not have taken its bytes yet, so no save may begin. */
  #isWriting = false;
  #isSaveDue = false;
  /** A save on the way; never rejects. */
  #saving: Promise<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor(parts: AppendPassParts) {
    this.#parts = parts;
    this.#begin = parts.hashes.size;
    this.#savedUntil = this.#begin;
  }

  /** More came than there may be in the whole upload. */
  get overran(): boolean {
    return this.#overran;
  }

  /**
   * Takes all of a source. Fails where the source does, where another request wants the upload, or where the service is being
   * closed: what has come in until then can still be saved.
   */
  async take(source: ByteSource): Promise<void> {
    const { held, stopped } = this.#parts;
    for await (const bytes of new Interruptible(source, { wanted: held.takeover, stopped })) {
      this.#check(bytes.length);
      const full = this.#write(bytes);
      if (full === undefined) continue;
      this.#isWriting = true;
      try {
        await full;
      } finally {
        this.#isWriting = false;
      }
      if (this.#isSaveDue) this.#beginSave();
    }
  }

  /** Begins to save what has come in since the last save. For a sender that takes long to fill what one save covers. */
  saveProgress(): void {
    if (this.#parts.whole || this.#parts.hashes.size === this.#savedUntil) return;
    if (this.#isWriting) this.#isSaveDue = true;
    else this.#beginSave();
  }

  /**
   * Moves the expiry of the upload without saving any bytes.
   *
   * @param record the record of the last save, with its new expiry
   */
  renew(record: string): void {
    this.#inBackground(() => this.#parts.held.renew(record));
  }

  /** Makes everything durable that came in. @param isLast the upload is not used any more afterwards */
  async save(isLast: boolean): Promise<void> {
    await this.#saving;
    this.#throwFailure();
    await this.#saveNow(isLast);
  }

  /** Waits for the saves on the way. @throws what one of them has failed with */
  async saved(): Promise<void> {
    await this.#saving;
    this.#throwFailure();
  }

  /** Waits for what is under way. */
  async settle(): Promise<void> {
    await this.#saving;
  }

  #check(coming: number): void {
    this.#throwFailure();
    const { hashes, length, limits } = this.#parts;
    const { maxSize, maxAppendSize } = limits;
    const offset = hashes.size + coming;
    if (offset - this.#begin > maxAppendSize) throw tooMuch(maxAppendSize);
    if (offset <= (length ?? maxSize)) return;
    this.#overran = true;
    if (length === null) throw sizeLimitExceeded(maxSize);
    throw new FixityError("inconsistent-length", "More bytes came in than the length of the upload.", {
      facts: { limit: length },
    });
  }

  #write(bytes: Uint8Array): Promise<void> | void {
    const { held, hashes, whole } = this.#parts;
    if (!whole && hashes.size + bytes.length >= held.nextSave) return this.#writePieces(bytes);
    hashes.update(bytes);
    return held.write(bytes);
  }

  /** Writes up to each offset at which a save costs least, and begins one there where none is under way. */
  async #writePieces(bytes: Uint8Array): Promise<void> {
    const { held, hashes } = this.#parts;
    let rest = bytes;
    while (rest.length > 0) {
      const room = Math.max(held.nextSave - hashes.size, 1);
      const piece = rest.subarray(0, room);
      rest = rest.subarray(piece.length);
      hashes.update(piece);
      await held.write(piece);
      if (piece.length === room) this.#beginSave();
    }
  }

  #beginSave(): void {
    this.#inBackground(() => this.#saveNow());
  }

  /** Runs one save or renewal beside the writes; not where one is under way already. */
  #inBackground(work: () => Promise<void>): void {
    if (this.#saving !== null || this.#failure !== null) return;
    this.#saving = work()
      .catch((reason: unknown) => {
        this.#failure ??= { reason };
      })
      .finally(() => {
        this.#saving = null;
      });
  }

  async #saveNow(isLast = false): Promise<void> {
    const { held, hashes, record, onProgress } = this.#parts;
    const offset = hashes.size;
    this.#isSaveDue = false;
    this.#savedUntil = offset;
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
