import { abortRace } from "../../../base/abort-race.ts";
import { digestOfChunks } from "../api/chunk-digest.ts";
import type { Permit } from "../../../base/semaphore.ts";
import { type Completion, MultipartUpload, type UploadContext } from "./multipart-upload.ts";
import type { Part, UploadName } from "../api/multipart.ts";
import { UNSIGNED_PAYLOAD } from "../api/signer.ts";

/** How the parts of a large upload are sent. */
export interface LargeUploadOptions {
  readonly context: UploadContext;
  readonly key: string;
  readonly contentType: string;
  /** Parts at once. */
  readonly concurrency: number;
  /** S3 is told the digest of each part. */
  readonly signParts: boolean;
  /** What has been sent already, perhaps by another process. */
  readonly resumed?: ResumedParts;
}

/** The parts of an upload that goes on. */
export interface ResumedParts {
  readonly name: UploadName;
  /** From the first one on, without gaps. */
  readonly parts: readonly Part[];
  /** A completion may have been asked for, and may still be under way. */
  readonly mayBeCompleting: boolean;
}

/** What S3 has of an upload. */
export type SentParts = Pick<ResumedParts, "name" | "parts">;

/** Bytes of a part, and the memory they lie in, which is given back when they have been sent. */
export interface FilledPart {
  readonly chunks: readonly Uint8Array[];
  readonly length: number;
  /** SHA-256 in hex; `null` where it is not known yet. */
  readonly digest: string | null;
  readonly permit: Permit | null;
}

/** Content of more than a part on its way to S3. A part is kept until S3 has confirmed it. */
export class LargeUpload {
  readonly key: string;
  readonly #options: LargeUploadOptions;
  readonly #parts: Part[] = [];
  readonly #sending = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #begun: Promise<MultipartUpload> | null = null;
  #count = 0;

  constructor(options: LargeUploadOptions) {
    const { key, context, resumed } = options;
    this.key = key;
    this.#options = options;
    if (resumed === undefined) return;
    this.#parts.push(...resumed.parts);
    this.#count = resumed.parts.length;
    this.#begun = Promise.resolve(MultipartUpload.resume(context, resumed.name, resumed.mayBeCompleting));
  }

  /** The digests of parts are needed. */
  get signsParts(): boolean {
    return this.#options.signParts;
  }

  /** The number of the part that is to be sent next. */
  get nextNumber(): number {
    return this.#count + 1;
  }

  /** Begins to send a part. Its failure shows at the next {@link room} or at {@link flush}. */
  send(part: FilledPart): void {
    this.#count += 1;
    this.sendAs(this.#count, part);
  }

  /** Begins to send a part, in the place of one that was sent before. */
  sendAs(number: number, part: FilledPart): void {
    const sending = this.#send(number, part)
      .catch((error: unknown) => this.#stop.abort(error))
      .finally(() => {
        part.permit?.release();
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
  }

  /** Waits until one more part may be sent. */
  async room(signal: AbortSignal | undefined): Promise<void> {
    while (this.#sending.size >= this.#options.concurrency) await abortRace(Promise.race(this.#sending), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Waits until S3 has all parts. */
  async flush(signal?: AbortSignal): Promise<void> {
    await abortRace(Promise.all(this.#sending), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Waits until S3 has all parts that were sent before this call. */
  async sent(): Promise<SentParts> {
    const count = this.#count;
    await this.flush();
    const { name } = await this.#begin();
    return { name, parts: this.#parts.slice(0, count) };
  }

  /**
   * Makes an object of all parts.
   *
   * @param others that S3 has besides, behind them: some servers want every part to be named
   */
  async complete(others: readonly Part[] = []): Promise<Completion> {
    await this.flush();
    const upload = await this.#begin();
    const parts = [...this.#parts, ...others];
    return upload.complete(
      parts,
      parts.reduce((sum, { size }) => sum + size, 0),
    );
  }

  /**
   * The upload's name is about to be put down where no collector misses it: from then on it may stand still for any time.
   *
   * @throws FixityError `upload-stalled` where it has done so already, and may have been cleared away
   */
  async keep(): Promise<void> {
    const upload = await this.#begin();
    upload.keep();
  }

  /** Sends nothing any more and leaves what was sent as it is. Does not fail. */
  async leave(reason: unknown): Promise<void> {
    this.#stop.abort(reason);
    await Promise.all(this.#sending);
    const upload = await this.#begun?.catch(() => null);
    upload?.leave();
  }

  /** Throws all parts away, as far as that is safe. Does not fail. */
  async abort(reason: unknown): Promise<void> {
    this.#stop.abort(reason);
    await Promise.all(this.#sending);
    const upload = await this.#begun?.catch(() => null);
    await upload?.abort();
    // one that could not be aborted safely is left to the collector
    upload?.leave();
  }

  async #send(number: number, { chunks, length, digest: known }: FilledPart): Promise<void> {
    const upload = await this.#begin();
    this.#stop.signal.throwIfAborted();
    const digest = this.signsParts ? (known ?? (await digestOfChunks(chunks))) : UNSIGNED_PAYLOAD;
    this.#parts[number - 1] = await upload.upload(number, { chunks, length, digest }, this.#stop.signal);
  }

  #begin(): Promise<MultipartUpload> {
    const { context, key, contentType } = this.#options;
    this.#begun ??= MultipartUpload.begin(context, key, { contentType, lastAttempt: this.#stop.signal });
    return this.#begun;
  }
}
