import { createHash } from "node:crypto";
import { delay } from "../../../base/abort-race.ts";
import { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import { OCTET_STREAM } from "../../../core/media-type.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import type { S3Client } from "../api/client.ts";
import { listObjects } from "../api/listing.ts";
import { MIN_PART_BYTES } from "../api/multipart.ts";
import { deleteObject, putObject } from "../api/objects.ts";
import { digestOfChunks } from "../api/signer.ts";
import type { Admission, BufferPool } from "../buffers/buffer-pool.ts";
import type { Layout } from "../layout.ts";
import type { ResolvedS3Options } from "../options.ts";
import { LOOK_AGAIN_AFTER_MS } from "../publish/publisher.ts";
import { openObject } from "../s3-reader.ts";
import { MultipartUpload, type MultipartUploadOptions, type SentParts } from "../send/multipart-upload.ts";
import { PartPlan, PartWriter } from "../send/part-writer.ts";
import type { RecordState, Tail } from "./records.ts";

/** Bytes after which a save is due, at the next end of a part. */
const SAVE_INTERVAL_BYTES = 32 * 1024 * 1024;

/** A tail may take the time of one answer (`timeouts.answer`) for each of these bytes. */
const BYTES_PER_ANSWER_TIME = 8 * 1024 * 1024;

/** What a save names. */
export type Saved = Pick<RecordState, "offset" | "upload" | "parts" | "tail">;

/**
 * The bytes of a held upload: whole parts of one multipart upload, and
 * after them the tail, which does not fill a part yet.
 *
 * A tail is an object at a key of its own that is never replaced, so the tail that a record names
 * stays what it is until another record names another one. The next holder loads it and fills the
 * part up. The writer takes no memory before the first byte is written.
 */
export class UploadWriter {
  /**
   * Called again and again while the sender is too slow and others wait for its memory, until it is
   * returned.
   */
  onTooSlow: (() => void) | null = null;
  readonly #id: UploadId;
  /** As the previous holder has left it. */
  readonly #state: RecordState;
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #pool: BufferPool;
  readonly #options: ResolvedS3Options;
  readonly #plan: PartPlan;
  readonly #resumed: MultipartUpload | null;
  readonly #stop = new AbortController();
  #admission: Admission | null = null;
  /** Calls that keep the sender waiting. */
  #busy = 0;
  #writer: PartWriter | null = null;
  /** `#writer`, once the tail is loaded into it. */
  #ready: PartWriter | null = null;
  #size: number;

  constructor(
    id: UploadId,
    state: RecordState,
    store: {
      readonly client: S3Client;
      readonly layout: Layout;
      readonly pool: BufferPool;
      readonly options: ResolvedS3Options;
    },
  ) {
    const { offset, upload, parts, completing } = state;
    this.#id = id;
    this.#state = state;
    this.#client = store.client;
    this.#layout = store.layout;
    this.#pool = store.pool;
    this.#options = store.options;
    this.#size = offset;
    this.#plan = planOf(state, store.pool.maxBufferBytes);
    const sent = completing?.last ? [...parts, completing.last] : parts;
    this.#resumed =
      upload &&
      new MultipartUpload(this.#client, {
        ...this.#multipartOptions(upload.key),
        resumed: { id: upload, parts: sent, mayBeCompleting: completing !== null },
      });
  }

  /** Bytes, saved and written since. */
  get size(): number {
    return this.#size;
  }

  /** Where parts are sent; `null` before the first one. */
  get multipart(): MultipartUpload | null {
    return this.#writer === null ? this.#resumed : this.#writer.multipart;
  }

  /**
   * The first end of a part past what is written that is at least {@link SAVE_INTERVAL_BYTES} after
   * the last save.
   */
  nextSave(savedOffset: number): number {
    const { limits, tail } = this.#state;
    let number = this.multipart?.nextNumber ?? 1;
    let end = this.#size - (this.#ready?.held ?? tail?.size ?? 0);
    while ((end <= this.#size || end < savedOffset + SAVE_INTERVAL_BYTES) && number <= limits.maxParts) {
      end += this.#plan.size(number);
      number += 1;
    }
    return end;
  }

  /**
   * Takes ownership of bytes. Returns a promise if it has to wait for memory, the tail or a
   * connection.
   */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#size += bytes.length;
    this.#admission?.countReceived(bytes.length);
    if (this.#ready === null) return this.#whileBusy(() => this.#openAndWrite(bytes));
    const writing = this.#ready.write(bytes);
    if (writing !== undefined) return this.#whileBusy(() => writing);
  }

  /**
   * Waits until S3 has everything that was written before this call: whole parts, and the rest as a
   * tail.
   */
  async save(): Promise<Saved> {
    return this.#whileBusy(async () => {
      const writer = this.#ready;
      const offset = this.#size;
      // Complete content that fits one part is put whole when it is committed.
      const isWhole = writer?.multipart === null && offset === this.#state.length;
      if (writer?.isPartFull === true && !isWhole) writer.sendNow();
      const { multipart } = this;
      const [sent, tail] = await bothOf(multipart?.sent(), this.#putTail());
      await multipart?.keep();
      return { offset, upload: sent?.id ?? null, parts: sent?.parts ?? [], tail };
    });
  }

  /** Lends all bytes of an upload of which no part was sent. */
  async lendAll<T>(read: (chunks: readonly Uint8Array[], length: number) => Promise<T>): Promise<T> {
    return this.#whileBusy(async () => {
      const writer = await this.#open();
      return writer.lend(read);
    });
  }

  /** Sends the tail as the last part, and waits until S3 has all parts. */
  async sendTail(): Promise<SentParts | null> {
    return this.#whileBusy(async () => {
      const writer = await this.#open();
      if (writer.held > 0) writer.sendNow();
      return (await writer.multipart?.sent()) ?? null;
    });
  }

  /**
   * Sends the tail, which is the last part already, again: padded to the size that a part with
   * others behind it must have.
   *
   * @param tail as it was saved last
   */
  async resendTail(number: number, tail: Tail | null): Promise<SentParts | null> {
    return this.#whileBusy(async () => {
      const wasOpen = this.#ready !== null;
      const writer = await this.#open();
      if (wasOpen && tail !== null) await this.#loadTail(tail, writer);
      if (writer.held > 0) writer.sendPadded(number, MIN_PART_BYTES);
      return (await writer.multipart?.sent()) ?? null;
    });
  }

  /** Returns all memory, once the bytes are a blob. Writing more fails. */
  returnMemory(): void {
    this.#writer?.end();
  }

  /** Returns all memory. Later calls throw `reason`, and nothing more is sent. */
  close(reason: unknown): void {
    this.#stop.abort(reason);
    this.#writer?.close(reason);
  }

  /**
   * Removes a tail that no record names any more. Does not fail: the collector removes what is left
   * over.
   */
  async removeTail({ key }: Tail): Promise<void> {
    try {
      await deleteObject(this.#client, key, { retryPolicy: "short" });
    } catch (error) {
      this.#options.log("the tail of an upload could not be removed", error);
    }
  }

  /** Removes all tails of the upload, including those that no record names. Does not fail. */
  async removeAllTails(): Promise<void> {
    try {
      for await (const { items } of listObjects(this.#client, this.#layout.tails(this.#id))) {
        for (const { key } of items) {
          if (this.#layout.recordOfTail(key) !== null) await deleteObject(this.#client, key, { retryPolicy: "short" });
        }
      }
    } catch (error) {
      this.#options.log("the tails of an upload could not be removed", error);
    }
  }

  async #openAndWrite(bytes: Uint8Array): Promise<void> {
    const writer = await this.#open();
    await writer.write(bytes);
  }

  async #open(): Promise<PartWriter> {
    if (this.#ready !== null) return this.#ready;
    const { length, tail } = this.#state;
    const atMost = length ?? undefined;
    const { signal } = this.#stop;
    const admission = await this.#pool.admit(atMost, signal);
    admission.onTooSlow = () => this.onTooSlow?.();
    admission.busy = this.#busy > 0;
    this.#admission = admission;
    const createMultipartUpload = () => new MultipartUpload(this.#client, this.#multipartOptions(this.#newKey()));
    const writer = new PartWriter({
      admission,
      plan: this.#plan,
      atMost,
      multipart: this.#resumed,
      createMultipartUpload,
      signal,
    });
    this.#writer = writer;
    if (signal.aborted) writer.close(signal.reason);
    if (tail !== null) await this.#loadTail(tail, writer);
    this.#ready = writer;
    return writer;
  }

  /**
   * Parts go to the blob's own key, without a copy at the end, only if the digest and the length
   * are known.
   */
  #newKey(): string {
    const { digest: hex, length } = this.#state;
    const digest = hex === null || length === null ? null : Digest.fromHex(hex);
    return digest === null ? this.#layout.newStaging() : this.#layout.blob(digest);
  }

  #multipartOptions(key: string): MultipartUploadOptions {
    return { ...this.#options, key, contentType: this.#state.mediaType ?? OCTET_STREAM };
  }

  /** Excludes the time that the sender spends waiting from the measurement of its rate. */
  async #whileBusy<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    if (this.#admission !== null) this.#admission.busy = true;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
      if (this.#admission !== null) this.#admission.busy = this.#busy > 0;
    }
  }

  async #putTail(): Promise<Tail | null> {
    const writer = this.#ready;
    if (writer === null || writer.held === 0) return null;
    return writer.lend(async (chunks, size) => {
      const key = this.#layout.newTail(this.#id);
      const digest = await digestOfChunks(chunks);
      const payload = { chunks, length: size, digest };
      await putObject(this.#client, key, payload, { contentType: OCTET_STREAM, ifAbsent: false });
      return { key, size, digest };
    });
  }

  /**
   * Writes the bytes of a tail to `writer`.
   *
   * @throws FixityError `upload-damaged` if they differ from what was saved, and still do when they
   *   are read again; `store-unavailable` if only the first read has failed
   */
  async #loadTail(tail: Tail, writer: PartWriter): Promise<void> {
    const { signal } = this.#stop;
    if (await this.#readTail(tail, (chunk) => writer.write(chunk), signal)) return;
    for (const pauseMs of LOOK_AGAIN_AFTER_MS) {
      await delay(pauseMs, signal);
      if (await this.#readTail(tail, () => undefined, signal)) {
        throw new FixityError("store-unavailable", "The store did not return what was saved. Try again soon.");
      }
    }
    throw uploadDamaged();
  }

  /**
   * Reads a tail from beginning to end. One deadline applies to all of it, counted while this waits
   * for S3 and not while `sink` waits for memory: bytes that trickle in do not extend it.
   *
   * @returns whether the object is what was saved
   */
  async #readTail(
    tail: Tail,
    sink: (bytes: Uint8Array) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const deadline = new AbortController();
    let leftMs = this.#client.responseTimeoutMs * Math.ceil(Math.max(1, tail.size / BYTES_PER_ANSWER_TIME));
    await using reader = await openObject(this.#client, tail.key, {
      signal: AbortSignal.any([signal, deadline.signal]),
    });
    if (reader?.size !== tail.size) return false;
    const hash = createHash("sha256");
    const chunks = reader[Symbol.asyncIterator]();
    for (;;) {
      const start = performance.now();
      const timer = setTimeout(() => deadline.abort(lateTail()), Math.max(1, leftMs));
      const next = await chunks.next().finally(() => clearTimeout(timer));
      leftMs -= performance.now() - start;
      if (next.done === true) return hash.digest("hex") === tail.digest;
      hash.update(next.value);
      await sink(next.value);
    }
  }
}

/** Part sizes as the first holder has chosen them; smaller if this store has less memory. */
function planOf({ limits, length }: RecordState, maxBufferBytes: number): PartPlan {
  const partSize = Math.min(limits.partSize, maxBufferBytes);
  const largestPart = Math.min(limits.largestPart, maxBufferBytes);
  return new PartPlan({ ...limits, partSize, largestPart }, length ?? undefined);
}

/** Both results, or the failure of one once both have settled. */
async function bothOf<A, B>(one: Promise<A> | undefined, other: Promise<B>): Promise<readonly [A | undefined, B]> {
  await Promise.allSettled([one, other]);
  return [await one, await other];
}

function lateTail(): FixityError {
  return new FixityError("store-unavailable", "The store did not return what was saved in time. Try again soon.");
}
