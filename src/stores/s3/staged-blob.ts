import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed, StagedBlob } from "../../core/store.ts";
import { storeFault } from "./faults.ts";
import type { LargeUpload } from "./large-upload.ts";
import type { Loan } from "./memory-budget.ts";
import { PartBuffer } from "./part-buffer.ts";
import type { PartPlan } from "./part-plan.ts";
import type { Publisher } from "./publisher.ts";
import { SEAT, type Seat } from "./upload-memory.ts";

/** What a staged blob is made of. */
export interface StagedBlobParts {
  readonly publisher: Publisher;
  readonly seat: Seat;
  readonly plan: PartPlan;
  /** Bytes announced. */
  readonly length: number | undefined;
  /** Where the parts go, once there are more than one. */
  readonly beginLarge: () => LargeUpload;
  readonly contentType: string;
  readonly signal: AbortSignal | undefined;
}

/**
 * Bytes on their way into a bucket. They are held until it is known which way they go: what fits a part is put whole when
 * it is committed; as soon as there is one byte more, the part is sent off and the next one begins.
 */
export class S3StagedBlob implements StagedBlob {
  readonly #parts: StagedBlobParts;
  readonly #buffer = new PartBuffer();
  /** The memory of a part that is being filled; without it, that of the seat has to do. */
  #loan: Loan | null = null;
  #large: LargeUpload | null = null;
  /** All bytes ever written. */
  #size = 0;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A write or a commit under way; never rejects. */
  #busy: Promise<void> | null = null;

  constructor(parts: StagedBlobParts) {
    this.#parts = parts;
    parts.seat.onEnd = () => this.#endSlowSender();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#parts.seat.receive(bytes.length);
    this.#size += bytes.length;
    const room = this.#loan === null ? SEAT : this.#partSize;
    if (this.#buffer.length + bytes.length <= room) return this.#buffer.add(bytes);
    return this.#occupied(() => this.#takeIn(bytes));
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    return this.#occupied(async () => {
      const existed = this.#large === null ? await this.#putWhole(digest) : await this.#publish(this.#large, digest);
      this.#ended = "committed";
      this.#release();
      return { existed };
    });
  }

  async abort(): Promise<void> {
    await this.#busy;
    this.#ended ??= "aborted";
    if (this.#ended !== "aborted") return;
    this.#release();
    await this.#large?.abort(new FixityError("upload-aborted", "The upload was aborted."));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  get #partSize(): number {
    return this.#parts.plan.size(this.#large?.nextNumber ?? 1);
  }

  /** Cuts bytes into parts, waiting for memory where there is none. */
  async #takeIn(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      this.#loan ??= await this.#takeMemory();
      this.#assertUsable();
      const taken = Math.min(rest.length, this.#partSize - this.#buffer.length);
      this.#buffer.add(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (rest.length > 0) await this.#sendPart();
    }
  }

  async #takeMemory(): Promise<Loan> {
    const { seat, length = Infinity, signal } = this.#parts;
    const loan = await seat.takePart(Math.min(this.#partSize, length), signal);
    seat.holdsPart = true;
    return loan;
  }

  async #sendPart(): Promise<void> {
    const { seat, beginLarge } = this.#parts;
    const loan = this.#loan;
    if (loan === null) throw new FixityError("internal-error", "A part has no memory.");
    this.#large ??= beginLarge();
    this.#loan = null;
    seat.holdsPart = false;
    this.#large.send({ length: this.#buffer.length, chunks: this.#buffer.take(), loan });
    await this.#large.room(this.#parts.signal);
  }

  async #putWhole(digest: Digest): Promise<boolean> {
    const { publisher, contentType } = this.#parts;
    const { length } = this.#buffer;
    return publisher.putWhole(digest, { chunks: this.#buffer.take(), length, digest: digest.hex }, contentType);
  }

  async #publish(large: LargeUpload, digest: Digest): Promise<boolean> {
    const { publisher, contentType, signal } = this.#parts;
    const size = this.#size;
    return publisher.publish(large, digest, { contentType, size, signal, sendLast: () => this.#sendPart() });
  }

  /** One thing at a time; after a failure the bytes are of no use, and what they take up is given back at once. */
  async #occupied<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    this.#parts.seat.busy = true;
    try {
      return await work();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#busy = null;
      this.#parts.seat.busy = false;
      resolve();
    }
  }

  #fail(thrown: unknown): unknown {
    this.#failure ??= { reason: storeFault(thrown) };
    this.#release();
    return this.#failure.reason;
  }

  #endSlowSender(): void {
    const reason = new FixityError("upload-stalled", "The upload was too slow while others waited for its place.");
    this.#fail(reason);
    // What has been sent is thrown away by who waits for it: the next write, or the abort at the end.
  }

  #release(): void {
    this.#buffer.take();
    this.#loan?.end();
    this.#loan = null;
    this.#parts.seat.leave();
  }

  #assertUsable(): void {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended !== null) throw new FixityError("internal-error", "The staged blob was committed or aborted.");
    this.#parts.signal?.throwIfAborted();
  }
}
