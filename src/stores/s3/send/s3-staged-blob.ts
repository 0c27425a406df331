import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { CommitOptions, Committed, StagedBlob } from "../../../core/staged-blob.ts";
import type { S3Client } from "../api/client.ts";
import type { Admission } from "../buffers/buffer-pool.ts";
import type { Layout } from "../layout.ts";
import type { Publisher } from "../publish/publisher.ts";
import { toFixityError } from "../store-error.ts";
import { type MultipartSettings, MultipartUpload } from "./multipart-upload.ts";
import { type PartPlan, PartWriter, writerEnded } from "./part-writer.ts";

export interface StagedBlobOptions {
  readonly client: S3Client;
  readonly layout: Layout;
  readonly settings: MultipartSettings;
  readonly publisher: Publisher;
  readonly admission: Admission;
  readonly plan: PartPlan;
  /** The most bytes that can arrive, if known. */
  readonly atMost: number | undefined;
  /** As announced. Parts then go to the blob's own key. */
  readonly digest: Digest | undefined;
  readonly contentType: string;
  /** Until when the blob is taken for absent without another look, by `performance.now()`. */
  readonly absentUntil: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Bytes on their way into a bucket. They are held until it is known how they are sent: what fits
 * one part is put whole by the commit; with one more byte the part is sent and the next one begins.
 */
export class S3StagedBlob implements StagedBlob {
  readonly #options: StagedBlobOptions;
  readonly #writer: PartWriter;
  /** Bytes written. */
  #size = 0;
  #failure: { readonly reason: unknown } | null = null;
  #ended: "committed" | "aborted" | null = null;
  /** A write or a commit that is running; never rejects. */
  #running: Promise<void> | null = null;

  constructor(options: StagedBlobOptions) {
    this.#options = options;
    this.#writer = new PartWriter({
      ...options,
      multipart: null,
      createMultipartUpload: () => this.#createMultipartUpload(),
    });
    options.admission.onTooSlow = () => this.#endSlowSender();
  }

  /**
   * Takes the memory of a part before anything is read, so that bytes that wait for memory stay in
   * the client.
   */
  async reserve(): Promise<void> {
    await this.#run(() => this.#writer.reserve());
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#options.admission.countReceived(bytes.length);
    this.#size += bytes.length;
    const writing = this.#writer.write(bytes);
    if (writing !== undefined) return this.#run(() => writing);
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    this.#assertUsable();
    return this.#run(async () => {
      const { multipart } = this.#writer;
      const existed = await (multipart === null
        ? this.#putWhole(digest, judge)
        : this.#publish(multipart, digest, judge));
      // Does nothing to an upload that was completed, to replace what was stored.
      if (existed) await multipart?.abort(new FixityError("upload-aborted", "The content was stored already."));
      this.#ended = "committed";
      this.#writer.end();
      return { existed };
    });
  }

  async abort(): Promise<void> {
    await this.#running;
    this.#ended ??= "aborted";
    if (this.#ended !== "aborted") return;
    this.#writer.end();
    await this.#writer.multipart?.abort(new FixityError("upload-aborted", "The upload was aborted."));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /**
   * Called once there is more than one part: a new staging key costs a twentieth of a small upload.
   */
  #createMultipartUpload(): MultipartUpload {
    const { client, layout, settings, digest, contentType } = this.#options;
    const key = digest === undefined ? layout.newStaging() : layout.blob(digest);
    return new MultipartUpload(client, { ...settings, key, contentType });
  }

  async #putWhole(digest: Digest, judge: CommitOptions["judge"]): Promise<boolean> {
    const { publisher, contentType, signal } = this.#options;
    return this.#writer.lend((chunks, length) =>
      publisher.putWhole(digest, { chunks, length, digest: digest.hex }, { contentType, judge, signal }),
    );
  }

  async #publish(multipart: MultipartUpload, digest: Digest, judge: CommitOptions["judge"]): Promise<boolean> {
    const { publisher, contentType, absentUntil, signal } = this.#options;
    return publisher.publish({
      multipart,
      digest,
      size: this.#size,
      contentType,
      judge,
      isKnownAbsent: performance.now() < absentUntil,
      signal,
      sendLast: () => this.#writer.sendHeld(),
    });
  }

  /**
   * One call at a time. After a failure the bytes are of no use, and their memory is returned at
   * once.
   */
  async #run<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = promise;
    this.#options.admission.busy = true;
    try {
      return await work();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#running = null;
      this.#options.admission.busy = false;
      resolve();
    }
  }

  #fail(thrown: unknown): unknown {
    this.#failure ??= { reason: toFixityError(thrown) };
    this.#writer.close(this.#failure.reason);
    return this.#failure.reason;
  }

  /** Parts that were sent are discarded by the abort that follows the next write's failure. */
  #endSlowSender(): void {
    this.#fail(new FixityError("upload-stalled", "The upload was too slow while others waited for its memory."));
  }

  #assertUsable(): void {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended !== null) throw writerEnded();
    this.#options.signal?.throwIfAborted();
  }
}
