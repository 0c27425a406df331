import { createHash, type Hash } from "node:crypto";
import type { Permit } from "../../../base/semaphore.ts";
import { FixityError } from "../../../core/errors.ts";
import { sizeLimitExceeded } from "../../../core/intake.ts";
import { MAX_PART_BYTES } from "../api/multipart.ts";
import { ADMISSION_BYTES, type Admission } from "../buffers/buffer-pool.ts";
import type { MultipartUpload } from "./multipart-upload.ts";

const MIB = 1024 * 1024;

/** Steps in which parts grow, over all the parts that an upload may have. */
const GROWTH_STEPS = 10;

/**
 * Chunks below this size are copied together. A chunk costs some 200 bytes besides its own and
 * keeps the whole buffer alive that it is a slice of, so a sender of single bytes could otherwise
 * make the store hold many times what it has sent.
 */
const MIN_CHUNK_BYTES = 2 * 1024;

/** Size of a block that small chunks are copied into. */
const BLOCK_BYTES = 16 * 1024;

/** Padding that is added in slices of one buffer, so that it takes no further memory. */
const ZEROS = Buffer.alloc(64 * 1024);

/** What the sizes of parts follow from. Stored in the records of resumable uploads. */
export interface PartLimits {
  /** Bytes of the first parts. */
  readonly partSize: number;
  readonly fixedPartSize: boolean;
  readonly maxParts: number;
  /** Bytes of the largest part that memory allows. */
  readonly largestPart: number;
}

/**
 * The sizes of an upload's parts. If its length is known, all parts but the last have the same
 * size, as large as the length requires. If not, parts double after each tenth of the possible part
 * numbers, up to what memory allows: small files have small parts, and the largest ones still fit.
 */
export class PartPlan {
  readonly #limits: PartLimits;
  /** Bytes of all parts but the last; `null` if parts grow. */
  readonly #evenSize: number | null;

  /** @throws FixityError `size-limit-exceeded` if no plan holds `length` bytes */
  constructor(limits: PartLimits, length: number | undefined) {
    this.#limits = { ...limits, largestPart: Math.min(limits.largestPart, MAX_PART_BYTES) };
    this.#evenSize = limits.fixedPartSize
      ? limits.partSize
      : length === undefined
        ? null
        : evenSize(this.#limits, length);
    if (length !== undefined && length > this.largestFile) throw this.#tooLarge();
  }

  /** Bytes that all parts together can hold. */
  get largestFile(): number {
    if (this.#evenSize !== null) return this.#evenSize * this.#limits.maxParts;
    let sum = 0;
    for (let number = 1; number <= this.#limits.maxParts; number += 1) sum += this.size(number);
    return sum;
  }

  /**
   * Bytes of a part; the last one may have fewer.
   *
   * @param number from 1 on
   * @throws FixityError `size-limit-exceeded` past the last number
   */
  size(number: number): number {
    const { partSize, maxParts, largestPart } = this.#limits;
    if (number > maxParts) throw this.#tooLarge();
    if (this.#evenSize !== null) return this.#evenSize;
    const step = Math.floor(((number - 1) * GROWTH_STEPS) / maxParts);
    return Math.max(partSize, Math.min(partSize * 2 ** step, largestPart));
  }

  #tooLarge(): FixityError {
    return sizeLimitExceeded(this.largestFile);
  }
}

function evenSize({ partSize, maxParts, largestPart }: PartLimits, length: number): number {
  const required = Math.ceil(length / maxParts / MIB) * MIB;
  return Math.max(partSize, Math.min(required, largestPart));
}

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
   * Hashes what is added from now on, up to the next {@link take}; the buffer must be empty.
   * Hashing bytes as they arrive, while they are in the processor's cache, costs seven tenths of
   * hashing a full part.
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

export interface PartWriterOptions {
  readonly admission: Admission;
  readonly plan: PartPlan;
  /** The most bytes that can arrive, if known. */
  readonly atMost: number | undefined;
  /**
   * Where parts go already; `null` if {@link createMultipartUpload} is to make it with the first
   * part.
   */
  readonly multipart: MultipartUpload | null;
  readonly createMultipartUpload: () => MultipartUpload;
  readonly signal: AbortSignal | undefined;
}

/**
 * Cuts bytes into parts. A part is held until one more byte arrives; then it is sent and the next
 * one begins. What fits the admission needs no other memory; for more, the memory of a whole part
 * is taken before its first byte is read.
 */
export class PartWriter {
  readonly #options: PartWriterOptions;
  readonly #buffer = new PartBuffer();
  /** The memory of the part that is being filled; `null` while the admission's suffices. */
  #permit: Permit | null = null;
  #multipart: MultipartUpload | null;
  /** A reader of the held bytes is at work; never rejects. */
  #lent: Promise<unknown> | null = null;
  /**
   * Makes the error to throw. Most writers end well, and making an error costs a fortieth of a
   * small upload.
   */
  #closed: (() => unknown) | null = null;

  constructor(options: PartWriterOptions) {
    this.#options = options;
    this.#multipart = options.multipart;
    if (this.#multipart?.signsParts === true) this.#buffer.hashNext();
  }

  /** Where parts are sent; `null` before the first one. */
  get multipart(): MultipartUpload | null {
    return this.#multipart;
  }

  /** Bytes held. */
  get held(): number {
    return this.#buffer.length;
  }

  /** Whether the held bytes are a whole part. */
  get isPartFull(): boolean {
    return this.#buffer.length === this.#partSize;
  }

  /** Takes the memory of a part before its first byte arrives. */
  async reserve(): Promise<void> {
    if (this.#permit !== null) return;
    const { admission, atMost = Infinity, signal } = this.#options;
    const permit = await admission.acquireBuffer(Math.min(this.#partSize, atMost), signal);
    if (this.#closed !== null) permit.release();
    this.#assertOpen();
    admission.holdsBuffer = true;
    this.#permit = permit;
  }

  /** Takes ownership of bytes. Returns a promise if it has to wait for memory or a connection. */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertOpen();
    const room = this.#permit === null ? ADMISSION_BYTES : this.#partSize;
    if (this.#buffer.length + bytes.length <= room) return this.#buffer.add(bytes);
    return this.#writeParts(bytes);
  }

  /** Sends the held bytes as a part, and waits until another part may be sent. */
  async sendHeld(): Promise<void> {
    // Lent bytes stay in the memory of this part until they are returned.
    await this.#lent;
    this.#assertOpen();
    await this.sendNow().waitForCapacity(this.#options.signal);
  }

  /** Sends the held bytes as a part without waiting for anything. */
  sendNow(): MultipartUpload {
    this.#multipart ??= this.#options.createMultipartUpload();
    this.#options.admission.holdsBuffer = false;
    this.#multipart.send(this.#takePart());
    if (this.#multipart.signsParts) this.#buffer.hashNext();
    return this.#multipart;
  }

  /**
   * Sends the held bytes again under the number that they had before, padded with zeros to at least
   * `minSize` bytes.
   */
  sendPadded(number: number, minSize: number): void {
    for (let missing = minSize - this.#buffer.length; missing > 0; missing -= ZEROS.length) {
      this.#buffer.add(ZEROS.subarray(0, missing));
    }
    const part = this.#takePart();
    this.#multipart?.sendAs(number, part);
  }

  /** Lends the held bytes to `read`; they are not sent before it has settled. */
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

  /** Returns all memory after the work is done. */
  end(): void {
    this.#close(writerEnded);
  }

  /** Returns all memory. Later calls throw `reason`. */
  close(reason: unknown): void {
    this.#close(() => reason);
  }

  #close(reason: () => unknown): void {
    this.#closed ??= reason;
    this.#buffer.take();
    this.#permit?.release();
    this.#permit = null;
    this.#options.admission.release();
  }

  get #partSize(): number {
    return this.#options.plan.size(this.#multipart?.nextNumber ?? 1);
  }

  #takePart() {
    const permit = this.#permit;
    this.#permit = null;
    return { length: this.#buffer.length, ...this.#buffer.take(), permit };
  }

  async #writeParts(bytes: Uint8Array): Promise<void> {
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

  #assertOpen(): void {
    if (this.#closed !== null) throw this.#closed();
    this.#options.signal?.throwIfAborted();
  }
}

/** For a caller that uses a staged blob after it was committed or aborted. */
export function writerEnded(): FixityError {
  return new FixityError("internal-error", "The staged blob was committed or aborted.");
}
