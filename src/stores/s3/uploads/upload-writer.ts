import { Digest } from "../../../core/digest.ts";
import { OCTET_STREAM } from "../../../core/media-type.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import { MultipartUpload, type MultipartUploadOptions, type SentParts } from "../send/multipart-upload.ts";
import { SMALLEST_PART } from "../options.ts";
import { PartPlan, PartWriter } from "../send/part-writer.ts";
import type { Admission } from "../buffers/buffer-pool.ts";
import type { Tail, UploadState } from "./upload-state.ts";
import type { UploadTools } from "./upload-tools.ts";

/** A save is due after so many bytes, at the next end of a part. */
const SAVE_EVERY = 32 * 1024 * 1024;

/** What a save names. */
export type Saved = Pick<UploadState, "offset" | "upload" | "parts" | "tail">;

/** What a writer is made of. */
export interface UploadWriterParts {
  readonly tools: UploadTools;
  readonly id: UploadId;
  /** As the holder before has left it. */
  readonly state: UploadState;
  /** The sender is too slow while others wait for its memory; said again and again until that is given back. */
  readonly onSlowSender: () => void;
}

/**
 * The bytes of an upload in the hands of its holder: on from the parts and the tail of the last save. Takes no memory before
 * the first byte is written, and then loads the tail, so that the part which it begins is filled.
 */
export class UploadWriter {
  readonly #parts: UploadWriterParts;
  readonly #plan: PartPlan;
  readonly #resumed: MultipartUpload | null;
  readonly #stop = new AbortController();
  #admission: Admission | null = null;
  /** Calls that the sender waits for. */
  #busy = 0;
  #writer: PartWriter | null = null;
  /** {@link #writer}, once the tail is in it. */
  #ready: PartWriter | null = null;
  #size: number;

  constructor(parts: UploadWriterParts) {
    const { state, tools } = parts;
    const { offset, upload, completing } = state;
    this.#parts = parts;
    this.#size = offset;
    this.#plan = planOf(state, tools);
    const sent = completing?.last ? [...state.parts, completing.last] : state.parts;
    const resumed = upload && { name: upload, parts: sent, mayBeCompleting: completing !== null };
    this.#resumed =
      resumed && new MultipartUpload(tools.client, { ...this.#multipartOptions(resumed.name.key), resumed });
  }

  /** Saved bytes, and those written since. */
  get size(): number {
    return this.#size;
  }

  /** Where parts go; `null` before the first one. */
  get large(): MultipartUpload | null {
    return this.#writer === null ? this.#resumed : this.#writer.upload;
  }

  /** The first end of a part behind what is written, and {@link SAVE_EVERY} or more behind the last save. */
  nextSave(savedOffset: number): number {
    const { limits, tail } = this.#parts.state;
    let number = this.large?.nextNumber ?? 1;
    let end = this.#size - (this.#ready?.held ?? tail?.size ?? 0);
    while ((end <= this.#size || end < savedOffset + SAVE_EVERY) && number <= limits.maxParts) {
      end += this.#plan.size(number);
      number += 1;
    }
    return end;
  }

  /** Takes bytes. A promise where memory, the tail or a connection has to be waited for. */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#size += bytes.length;
    this.#admission?.countReceived(bytes.length);
    if (this.#ready === null) return this.#occupied(() => this.#openAndWrite(bytes));
    const writing = this.#ready.write(bytes);
    if (writing !== undefined) return this.#occupied(() => writing);
  }

  /** Waits until S3 has everything that was written before this call: whole parts as such, the rest as a tail. */
  async save(): Promise<Saved> {
    return this.#occupied(async () => {
      const writer = this.#ready;
      const offset = this.#size;
      // what is all there and fits a part is put whole when it is committed
      const isWhole = writer?.upload === null && offset === this.#parts.state.length;
      if (writer?.isPartFull === true && !isWhole) writer.sendNow();
      const large = this.large;
      const [sent, tail] = await bothOf(large?.sent(), this.#saveTail());
      await large?.keep();
      return { offset, upload: sent?.name ?? null, parts: sent?.parts ?? [], tail };
    });
  }

  /** Gives all bytes of an upload of which no part was sent. */
  async whole<T>(read: (chunks: readonly Uint8Array[], length: number) => Promise<T>): Promise<T> {
    return this.#occupied(async () => {
      const writer = await this.#open();
      return writer.lend(read);
    });
  }

  /** Sends the tail as the last part, and waits until S3 has all parts. */
  async sendTail(): Promise<SentParts | null> {
    return this.#occupied(async () => {
      const writer = await this.#open();
      if (writer.held > 0) writer.sendNow();
      return (await writer.upload?.sent()) ?? null;
    });
  }

  /**
   * Sends the tail, which is the last part already, once more: as large as a part must be that has others behind it.
   *
   * @param tail as it was saved last
   */
  async padTail(number: number, tail: Tail | null): Promise<SentParts | null> {
    return this.#occupied(async () => {
      const wasOpen = this.#ready !== null;
      const writer = await this.#open();
      if (wasOpen && tail !== null) await this.#load(tail, writer);
      if (writer.held > 0) writer.sendPadded(number, SMALLEST_PART);
      return (await writer.upload?.sent()) ?? null;
    });
  }

  /** Gives the memory back. Nothing is taken or sent any more, for this reason. */
  close(reason: unknown): void {
    this.#stop.abort(reason);
    this.#writer?.close(reason);
  }

  async #openAndWrite(bytes: Uint8Array): Promise<void> {
    const writer = await this.#open();
    await writer.write(bytes);
  }

  async #open(): Promise<PartWriter> {
    if (this.#ready !== null) return this.#ready;
    const { tools, state, onSlowSender } = this.#parts;
    const length = state.length ?? undefined;
    const { signal } = this.#stop;
    const admission = await tools.pool.admit(length, signal);
    admission.onTooSlow = onSlowSender;
    admission.busy = this.#busy > 0;
    this.#admission = admission;
    const createUpload = () => new MultipartUpload(tools.client, this.#multipartOptions(this.#newKey()));
    const writer = new PartWriter({
      admission,
      plan: this.#plan,
      atMost: length,
      upload: this.#resumed,
      createUpload,
      signal,
    });
    this.#writer = writer;
    if (signal.aborted) writer.close(signal.reason);
    if (state.tail !== null) await this.#load(state.tail, writer);
    this.#ready = writer;
    return writer;
  }

  async #load(tail: Tail, writer: PartWriter): Promise<void> {
    await this.#parts.tools.tails.load(tail, (chunk) => writer.write(chunk), this.#stop.signal);
  }

  async #saveTail(): Promise<Tail | null> {
    const writer = this.#ready;
    if (writer === null || writer.held === 0) return null;
    const { tools, id } = this.#parts;
    return writer.lend((chunks, size) => tools.tails.put(id, chunks, size));
  }

  /** Only where the digest and the length are known are the parts at the blob's own key, without a copy at the end. */
  #newKey(): string {
    const { state, tools } = this.#parts;
    const digest = state.digest === null || state.length === null ? null : Digest.fromHex(state.digest);
    return digest === null ? tools.layout.newStaging() : tools.layout.blob(digest);
  }

  #multipartOptions(key: string): MultipartUploadOptions {
    const contentType = this.#parts.state.mediaType ?? OCTET_STREAM;
    return { ...this.#parts.tools.options, key, contentType };
  }

  /** What the sender waits for is no sign of its slowness. */
  async #occupied<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    if (this.#admission !== null) this.#admission.busy = true;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
      if (this.#admission !== null) this.#admission.busy = this.#busy > 0;
    }
  }
}

/** The sizes of parts as they were chosen first; smaller, where this store has less memory than the one that chose. */
function planOf({ limits, length }: UploadState, { pool }: UploadTools): PartPlan {
  const { maxBufferBytes: largestPart } = pool;
  const partSize = Math.min(limits.partSize, largestPart);
  return new PartPlan(
    { ...limits, partSize, largestPart: Math.min(limits.largestPart, largestPart) },
    length ?? undefined,
  );
}

/** Both, or the failure of one when both are at rest. */
async function bothOf<A, B>(one: Promise<A> | undefined, other: Promise<B>): Promise<readonly [A | undefined, B]> {
  await Promise.allSettled([one, other]);
  return [await one, await other];
}
