import { createHash } from "node:crypto";
import { abortRace } from "../../../base/abort-race.ts";
import type { Permit } from "../../../base/semaphore.ts";
import { FixityError } from "../../../core/errors.ts";
import type { S3Client } from "../api/client.ts";
import {
  abortMultipartUpload,
  completeMultipartUpload,
  type CopiedRange,
  createMultipartUpload,
  type MultipartId,
  type Part,
  uploadPart,
  uploadPartCopy,
} from "../api/multipart.ts";
import { headObject, type ObjectHead } from "../api/objects.ts";
import { Retrier } from "../api/retry.ts";
import { S3Error } from "../api/s3-error.ts";
import { digestOfChunks, type Payload, UNSIGNED_PAYLOAD } from "../api/signer.ts";
import type { ResolvedS3Options } from "../options.ts";
import { answeredOrFound, type Completion, isCopyOf } from "./uncertain-request.ts";

/** The settings of a store that apply to all its multipart uploads. */
export type MultipartSettings = Pick<ResolvedS3Options, "concurrency" | "signParts" | "idleLimit" | "log">;

export interface MultipartUploadOptions extends MultipartSettings {
  readonly key: string;
  readonly contentType: string;
  /** Continues an upload that a record names, instead of creating one. */
  readonly resumed?: ResumedUpload;
}

/** An upload as an earlier holder, perhaps in another process, has left it. */
export interface ResumedUpload {
  readonly id: MultipartId;
  /** All parts from the first one on, without gaps. */
  readonly parts: readonly Part[];
  /** A completion may have been sent and may still be running, so the upload is never aborted. */
  readonly mayBeCompleting: boolean;
}

/** The parts of an upload that S3 has confirmed. */
export type SentParts = Pick<ResumedUpload, "id" | "parts">;

/** The bytes of one part. */
export interface FilledPart {
  readonly chunks: readonly Uint8Array[];
  readonly length: number;
  /** SHA-256 in hex; `null` if it has not been computed yet. */
  readonly digest: string | null;
  /** The memory they occupy, released once they are sent. */
  readonly permit: Permit | null;
}

/** What {@link MultipartUpload.complete} makes an object of. */
export interface CompleteOptions {
  /** @default all that were handed over to {@link MultipartUpload.send} */
  readonly parts?: readonly Part[] | undefined;
  /** What is at the key and is to be replaced: seeing it again does not prove the completion. */
  readonly replaced?: ObjectHead | null;
}

/**
 * One multipart upload from its creation to its end: the parts in flight, the list of confirmed
 * parts, and the state that decides whether it may be aborted.
 *
 *     open ── complete() ──┬── 200 with the result in the body ─────────────> completed
 *       │                  ├── refused (4xx), nothing was done ─────────────> open
 *       │                  └── no response or a doubtful one: look, retry ──> unknown
 *       └── abort() ──> aborted
 *
 * **An abort is sent only in the state `open`, never while a completion may be running.** On Ceph a
 * completion and an abort that overlap both succeed: the object can be read for a while, and its
 * bytes are gone after the server's own garbage collection. An upload that ends as `unknown` is
 * therefore left as it is. The collector looks at it a day later.
 *
 * S3 creates the upload with its first part. Until {@link keep} is called, an upload that has been
 * idle for half the time after which a collector removes it is not completed any more, so that a
 * completion here never meets an abort by a collector in another process.
 */
export class MultipartUpload {
  readonly key: string;
  readonly #client: S3Client;
  readonly #options: MultipartUploadOptions;
  /** Confirmed parts; a part in flight leaves a gap. */
  readonly #parts: Part[];
  /** Requests for parts; none of them rejects. */
  readonly #inFlight = new Set<Promise<unknown>>();
  /**
   * Aborted by the first part that fails, by {@link leave} and by {@link abort}: no further attempt
   * is made.
   */
  readonly #stop = new AbortController();
  #created: Promise<MultipartId> | null = null;
  #state: "open" | "completing" | "completed" | "aborted" | "unknown" = "open";
  /** Parts handed over to {@link send}, confirmed or not. */
  #count: number;
  #lastContact = Date.now();
  /** A record names the upload, so collectors leave it alone however long it is idle. */
  #isKept = false;
  /** Ends the protection from the collectors of this process. */
  #unprotect: () => void = () => undefined;

  constructor(client: S3Client, options: MultipartUploadOptions) {
    const { key, resumed } = options;
    this.key = key;
    this.#client = client;
    this.#options = options;
    this.#parts = [...(resumed?.parts ?? [])];
    this.#count = this.#parts.length;
    if (resumed === undefined) return;
    this.#created = Promise.resolve(resumed.id);
    this.#isKept = true;
    this.#unprotect = protect(resumed.id.uploadId);
    if (resumed.mayBeCompleting) this.#state = "unknown";
  }

  /** Parts are signed with their digests, which are best computed while a part is filled. */
  get signsParts(): boolean {
    return this.#options.signParts;
  }

  /** The number of the next part. */
  get nextNumber(): number {
    return this.#count + 1;
  }

  /**
   * Starts to send the next part. A failure is reported by the next {@link waitForCapacity} or
   * {@link flush}.
   */
  send(part: FilledPart): void {
    this.#count += 1;
    this.sendAs(this.#count, part);
  }

  /** Starts to send a part again, under the number that it had before. */
  sendAs(number: number, part: FilledPart): void {
    const sending = this.#send(number, part)
      .catch((error: unknown) => this.#stop.abort(error))
      .finally(() => part.permit?.release());
    this.#track(sending);
  }

  /** Waits until another part may be sent. @throws the failure of a part */
  async waitForCapacity(signal: AbortSignal | undefined): Promise<void> {
    while (this.#inFlight.size >= this.#options.concurrency) await abortRace(Promise.race(this.#inFlight), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Waits until no part is in flight. @throws the failure of a part */
  async flush(signal?: AbortSignal): Promise<void> {
    await abortRace(Promise.all(this.#inFlight), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Waits until S3 has all parts that were handed over before this call, and returns them. */
  async sent(): Promise<SentParts> {
    const count = this.#count;
    await this.flush();
    return { id: await this.#create(), parts: this.#parts.slice(0, count) };
  }

  /** Sends one part and waits. Once `signal` is aborted, no further attempt is made. */
  async upload(number: number, payload: Payload, signal: AbortSignal = this.#stop.signal): Promise<Part> {
    const id = await this.#create();
    return this.#confirm(uploadPart(this.#client, id, number, { payload, signal }));
  }

  /**
   * Makes a part of a range of an object.
   */
  async copy(number: number, range: CopiedRange): Promise<Part> {
    const id = await this.#create();
    return this.#confirm(uploadPartCopy(this.#client, id, number, range));
  }

  /**
   * Call it before a record that names the upload is written. From then on the upload may be idle
   * for any time.
   *
   * @throws FixityError `upload-stalled` if it has been idle for too long already
   */
  async keep(): Promise<void> {
    await this.#create();
    this.#assertFresh();
    this.#isKept = true;
  }

  /**
   * Makes an object of the parts.
   *
   * @throws S3Error if it is not known whether there is an object
   */
  async complete({ parts = this.#parts, replaced = null }: CompleteOptions = {}): Promise<Completion> {
    await this.flush();
    const id = await this.#create();
    this.#assertFresh();
    const isFirst = this.#state === "open";
    this.#state = "completing";
    try {
      const completion = await this.#complete(id, { parts, replaced, isFirst });
      this.#state = "completed";
      return completion;
    } catch (error) {
      if (this.#state === "completing") this.#state = "unknown";
      throw error;
    } finally {
      this.#unprotect();
    }
  }

  /** Stops sending and leaves what S3 has as it is. Does not fail. */
  async leave(reason: unknown): Promise<void> {
    await this.#stopSending(reason);
    this.#unprotect();
  }

  /**
   * Discards all parts if that is safe. Does not fail: errors are logged, and the collector removes
   * what is left over.
   */
  async abort(reason: unknown): Promise<void> {
    const id = await this.#stopSending(reason);
    try {
      if (id === null || this.#state !== "open") return;
      this.#state = "aborted";
      await abortMultipartUpload(this.#client, id);
    } catch (error) {
      this.#options.log("a multipart upload could not be aborted", error);
    } finally {
      this.#unprotect();
    }
  }

  /**
   * Waits until nothing is in flight: a part that arrives after the abort may be stored for ever.
   *
   * @returns `null` if the upload was never created
   */
  async #stopSending(reason: unknown): Promise<MultipartId | null> {
    this.#stop.abort(reason);
    await Promise.all(this.#inFlight);
    return this.#created === null ? null : await this.#created.catch(() => null);
  }

  async #create(): Promise<MultipartId> {
    this.#created ??= (async () => {
      // S3 knows the upload before its id is known here. Until then the key stands for it.
      const unprotectKey = protect(this.key);
      try {
        const { contentType } = this.#options;
        const id = await createMultipartUpload(this.#client, this.key, {
          contentType,
          retrySignal: this.#stop.signal,
        });
        this.#unprotect = protect(id.uploadId);
        this.#lastContact = Date.now();
        return id;
      } finally {
        unprotectKey();
      }
    })();
    return this.#created;
  }

  async #send(number: number, { chunks, length, digest: known }: FilledPart): Promise<void> {
    const id = await this.#create();
    const { signal } = this.#stop;
    signal.throwIfAborted();
    const digest = this.signsParts ? (known ?? (await digestOfChunks(chunks))) : UNSIGNED_PAYLOAD;
    const payload = { chunks, length, digest };
    this.#parts[number - 1] = await uploadPart(this.#client, id, number, { payload, signal });
    this.#lastContact = Date.now();
  }

  async #confirm(sending: Promise<Part>): Promise<Part> {
    this.#track(sending);
    const part = await sending;
    this.#lastContact = Date.now();
    return part;
  }

  #track(work: Promise<unknown>): void {
    const settled = work.catch(() => null).finally(() => this.#inFlight.delete(settled));
    this.#inFlight.add(settled);
  }

  #assertFresh(): void {
    if (this.#isKept || Date.now() - this.#lastContact <= this.#options.idleLimit) return;
    throw new FixityError("upload-stalled", "The upload was idle for so long that it may have been removed.");
  }

  async #complete(
    id: MultipartId,
    options: Required<CompleteOptions> & { readonly parts: readonly Part[]; readonly isFirst: boolean },
  ): Promise<Completion> {
    const { parts, replaced } = options;
    const client = this.#client;
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const retrier = new Retrier(client.retryLimits);
    let { isFirst } = options;
    for (;;) {
      try {
        return await answeredOrFound({
          send: (signal) => completeMultipartUpload(client, id, { parts, signal }),
          find: (signal) => this.#isMadeOf(parts, { size, replaced, signal }),
          intervalMs: client.lookIntervalMs,
        });
      } catch (error) {
        const isRefusal = error instanceof S3Error && error.isRefusal;
        // Only the first response can prove that nothing was done. A later "no such upload" may
        // mean that everything was.
        if (isFirst && isRefusal && error.status !== 404) {
          this.#state = "open";
          throw error;
        }
        if (isCopyOf(size, await headObject(client, this.key), replaced)) return { isInferred: true };
        if (isRefusal || !(await retrier.waitToRetry(error))) throw error;
        isFirst = false;
      }
    }
  }

  /**
   * Whether there is an object made of these very parts: one of the same size may have been there
   * before. Where the tags of parts are not MD5s (SSE-KMS) that cannot be known, and the answer is
   * waited for.
   */
  async #isMadeOf(
    parts: readonly Part[],
    {
      size,
      replaced,
      signal,
    }: { readonly size: number; readonly replaced: ObjectHead | null; readonly signal: AbortSignal },
  ): Promise<boolean> {
    const found = await headObject(this.#client, this.key, { signal, retryPolicy: "check" });
    return isCopyOf(size, found, replaced) && found?.etag === etagOfParts(parts);
  }
}

/** The entity tag of an object made of these parts: the MD5 of their MD5s, and their number. */
function etagOfParts(parts: readonly Part[]): string {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ""), "hex"));
  return `"${hash.digest("hex")}-${parts.length}"`;
}

/**
 * Keys, and ids of multipart uploads, that this process works on, with the number of their users.
 * The collectors of all stores in this process leave them alone, however old they are. What other
 * processes work on is known by its age only.
 */
const inUse = new Map<string, number>();

/** Whether this process works on a key, or on the multipart upload with this id. */
export function isInUse(name: string): boolean {
  return inUse.has(name);
}

/** Protects a key or an id from collectors until the returned, idempotent function is called. */
export function protect(name: string): () => void {
  let isProtected = true;
  inUse.set(name, (inUse.get(name) ?? 0) + 1);
  return () => {
    if (!isProtected) return;
    isProtected = false;
    const others = (inUse.get(name) ?? 1) - 1;
    if (others === 0) inUse.delete(name);
    else inUse.set(name, others);
  };
}
