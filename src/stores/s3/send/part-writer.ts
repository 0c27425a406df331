import { FixityError } from "../../../core/errors.ts";
import type { LargeUpload } from "./large-upload.ts";
import type { Permit } from "../../../base/semaphore.ts";
import { PartBuffer } from "../buffers/part-buffer.ts";
import type { PartPlan } from "./part-plan.ts";
import { ADMISSION_BYTES, type Admission } from "../buffers/buffer-pool.ts";

/** Padding that takes no memory however often it is used. */
const ZEROS = Buffer.alloc(64 * 1024);

/** What bytes are cut into parts with. */
export interface PartWriterOptions {
  readonly admission: Admission;
  readonly plan: PartPlan;
  /** Bytes that are coming at most, where that is known. */
  readonly atMost: number | undefined;
  /** Where parts go already; `null` where {@link beginLarge} makes it with the first one. */
  readonly large: LargeUpload | null;
  readonly beginLarge: () => LargeUpload;
  readonly signal: AbortSignal | undefined;
}

/**
 * Cuts bytes into parts. A part is held until there is one byte more; then it is sent off and the next one begins. What fits
 * the admission needs no other memory; for more, that of a whole part is taken beforehand.
 */
export class PartWriter {
  readonly #options: PartWriterOptions;
  readonly #buffer = new PartBuffer();
  /** The memory of a part that is being filled; without it, that of the admission has to do. */
  #permit: Permit | null = null;
  #large: LargeUpload | null;
  /** Somebody else reads the held bytes; never rejects. */
  #lent: Promise<unknown> | null = null;
  /** Makes what to throw: most writers come to their end, and to make an error costs a fortieth of a small upload. */
  #closed: (() => unknown) | null = null;

  constructor(options: PartWriterOptions) {
    this.#options = options;
    this.#large = options.large;
    if (this.#large?.signsParts === true) this.#buffer.hashNext();
  }

  /** Where parts have been sent; `null` before the first one. */
  get large(): LargeUpload | null {
    return this.#large;
  }

  /** Bytes held. */
  get held(): number {
    return this.#buffer.length;
  }

  /** What is held is a whole part. */
  get isPartFull(): boolean {
    return this.#buffer.length === this.#partSize;
  }

  /** Takes the memory of a part before the first byte of it is there. */
  async reserve(): Promise<void> {
    if (this.#permit === null) await this.#takeMemory();
  }

  /** Takes bytes; they are the writer's from now on. A promise where memory or a connection has to be waited for. */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertOpen();
    const room = this.#permit === null ? ADMISSION_BYTES : this.#partSize;
    if (this.#buffer.length + bytes.length <= room) return this.#buffer.add(bytes);
    return this.#takeIn(bytes);
  }

  /** Sends what is held as a part, and waits until another one may be sent. */
  async sendHeld(): Promise<void> {
    // they are counted as memory until they are sent
    await this.#lent;
    this.#assertOpen();
    await this.sendNow().room(this.#options.signal);
  }

  /** Sends what is held as a part, without waiting for anything. */
  sendNow(): LargeUpload {
    const { admission, beginLarge } = this.#options;
    const permit = this.#permit;
    this.#large ??= beginLarge();
    this.#permit = null;
    admission.holdsBuffer = false;
    this.#large.send({ length: this.#buffer.length, ...this.#buffer.take(), permit });
    if (this.#large.signsParts) this.#buffer.hashNext();
    return this.#large;
  }

  /** Sends what is held once more under a number that it was sent under before, with zeros up to a least size. */
  sendPadded(number: number, least: number): void {
    for (let missing = least - this.#buffer.length; missing > 0; missing -= ZEROS.length) {
      this.#buffer.add(ZEROS.subarray(0, missing));
    }
    const part = {
      length: this.#buffer.length,
      ...this.#buffer.take(),
      permit: this.#permit,
    };
    this.#permit = null;
    this.#large?.sendAs(number, part);
  }

  /** Lets somebody else read what is held; it is not sent meanwhile. */
  async lend<T>(read: (chunks: readonly Uint8Array[], length: number) => Promise<T>): Promise<T> {
    const reading = read(this.#buffer.chunks, this.#buffer.length);
    const settled = reading.then(
      () => null,
      () => null,
    );
    this.#lent = settled;
    try {
      return await reading;
    } finally {
      if (this.#lent === settled) this.#lent = null;
    }
  }

  /** Gives all memory back, its work being done. */
  end(): void {
    this.#closeWith(ended);
  }

  /** Gives all memory back. Nothing is taken or sent any more, for this reason. */
  close(reason: unknown): void {
    this.#closeWith(() => reason);
  }

  #closeWith(reason: () => unknown): void {
    this.#closed ??= reason;
    this.#buffer.take();
    this.#permit?.release();
    this.#permit = null;
    this.#options.admission.release();
  }

  get #partSize(): number {
    return this.#options.plan.size(this.#large?.nextNumber ?? 1);
  }

  async #takeIn(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      this.#assertOpen();
      await this.reserve();
      const taken = Math.min(rest.length, this.#partSize - this.#buffer.length);
      this.#buffer.add(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (rest.length > 0) await this.sendHeld();
    }
  }

  async #takeMemory(): Promise<void> {
    const { admission, atMost = Infinity, signal } = this.#options;
    const permit = await admission.acquireBuffer(Math.min(this.#partSize, atMost), signal);
    if (this.#closed !== null) permit.release();
    this.#assertOpen();
    admission.holdsBuffer = true;
    this.#permit = permit;
  }

  #assertOpen(): void {
    if (this.#closed !== null) throw this.#closed();
    this.#options.signal?.throwIfAborted();
  }
}

/** For who goes on with what was committed or aborted. */
export function ended(): FixityError {
  return new FixityError("internal-error", "The staged blob was committed or aborted.");
}
