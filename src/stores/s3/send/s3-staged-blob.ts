import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { Committed, StagedBlob } from "../../../core/store.ts";
import { storeFault } from "../faults.ts";
import type { LargeUpload } from "./large-upload.ts";
import type { PartPlan } from "./part-plan.ts";
import { ended, PartWriter } from "./part-writer.ts";
import type { Publisher } from "../publish/publisher.ts";
import type { Admission } from "../buffers/buffer-pool.ts";

/** What a staged blob is made of. */
export interface StagedBlobParts {
  readonly publisher: Publisher;
  readonly admission: Admission;
  readonly plan: PartPlan;
  /** Bytes that are coming at most, where that is known. */
  readonly atMost: number | undefined;
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
  readonly #writer: PartWriter;
  /** All bytes ever written. */
  #size = 0;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A write or a commit under way; never rejects. */
  #busy: Promise<void> | null = null;

  constructor(parts: StagedBlobParts) {
    this.#parts = parts;
    this.#writer = new PartWriter({ ...parts, large: null });
    parts.admission.onTooSlow = () => this.#endSlowSender();
  }

  /**
   * Takes the memory of a part before anything is read: what waits for memory in a client costs none here, and what waits
   * in our hands does.
   */
  async reserve(): Promise<void> {
    await this.#occupied(() => this.#writer.reserve());
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#parts.admission.countReceived(bytes.length);
    this.#size += bytes.length;
    const writing = this.#writer.write(bytes);
    if (writing !== undefined) return this.#occupied(() => writing);
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    return this.#occupied(async () => {
      const { large } = this.#writer;
      const existed = large === null ? await this.#putWhole(digest) : await this.#publish(large, digest);
      this.#ended = "committed";
      this.#writer.end();
      return { existed };
    });
  }

  async abort(): Promise<void> {
    await this.#busy;
    this.#ended ??= "aborted";
    if (this.#ended !== "aborted") return;
    this.#writer.end();
    await this.#writer.large?.abort(new FixityError("upload-aborted", "The upload was aborted."));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #putWhole(digest: Digest): Promise<boolean> {
    const { publisher, contentType, signal } = this.#parts;
    return this.#writer.lend((chunks, length) =>
      publisher.putWhole(digest, { chunks, length, digest: digest.hex }, { contentType, signal }),
    );
  }

  async #publish(large: LargeUpload, digest: Digest): Promise<boolean> {
    const { publisher, contentType, signal } = this.#parts;
    const size = this.#size;
    return publisher.publish(large, digest, { contentType, size, signal, sendLast: () => this.#writer.sendHeld() });
  }

  /** One thing at a time; after a failure the bytes are of no use, and what they take up is given back at once. */
  async #occupied<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    this.#parts.admission.busy = true;
    try {
      return await work();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#busy = null;
      this.#parts.admission.busy = false;
      resolve();
    }
  }

  #fail(thrown: unknown): unknown {
    this.#failure ??= { reason: storeFault(thrown) };
    this.#writer.close(this.#failure.reason);
    return this.#failure.reason;
  }

  #endSlowSender(): void {
    const reason = new FixityError("upload-stalled", "The upload was too slow while others waited for its place.");
    this.#fail(reason);
    // What has been sent is thrown away by who waits for it: the next write, or the abort at the end.
  }

  #assertUsable(): void {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended !== null) throw ended();
    this.#parts.signal?.throwIfAborted();
  }
}
