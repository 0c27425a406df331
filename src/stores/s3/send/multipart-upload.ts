import { createHash } from "node:crypto";
import { FixityError } from "../../../core/errors.ts";
import { answeredOrFound } from "../publish/answered-or-found.ts";
import type { Payload, S3Client } from "../api/client.ts";
import type { CopyPace } from "../publish/copy-pace.ts";
import { keepAlive } from "./live-uploads.ts";
import {
  abortUpload,
  completeUpload,
  createUpload,
  type Part,
  uploadPart,
  uploadPartCopy,
  type UploadName,
} from "../api/multipart.ts";
import { headObject } from "../api/objects.ts";
import type { Log } from "../options.ts";
import { Attempts } from "../api/retry.ts";
import { S3Error } from "../api/s3-error.ts";

/** What every multipart upload of a store needs, and every copy. */
export interface UploadContext {
  readonly client: S3Client;
  /** Milliseconds without a sign of life after which an upload is no longer completed. Half of what a collector waits. */
  readonly idleLimit: number;
  readonly copyPace: CopyPace;
  readonly log: Log;
}

/** How an upload was completed. */
export interface Completion {
  /** S3 never said so; the object was found to be there, of the right size. */
  readonly isInferred: boolean;
}

/**
 * One multipart upload, and the rule by which it ends:
 *
 *     open ── complete() ──┬── 200, with the result in it ────────────────────────────> completed
 *       │                  ├── refused (4xx): surely nothing was done ──> open again
 *       │                  └── no answer, or a doubtful one: look, try again, give up ─> unknown
 *       └── abort() ──> aborted
 *
 * **Abort is sent only while no completion may be under way**, so from `open` alone. A completion and an abort that meet
 * both succeed on a real server (Ceph), the object can be read for a while, and its bytes are gone after the server's own
 * garbage collection. What ends as `unknown` is therefore left as it is; the collector looks at it a day later.
 */
export class MultipartUpload {
  readonly name: UploadName;
  readonly #context: UploadContext;
  readonly #forget: () => void;
  #state: "open" | "completing" | "completed" | "aborted" | "unknown" = "open";
  #lastSign = Date.now();
  /** No collector takes it for abandoned, however silent it is. */
  #isKept = false;

  private constructor(context: UploadContext, name: UploadName) {
    this.name = name;
    this.#context = context;
    this.#forget = keepAlive(name.uploadId);
  }

  /** @param options `lastAttempt` begins no other attempt once it is aborted */
  static async begin(
    context: UploadContext,
    key: string,
    options: { readonly contentType: string; readonly lastAttempt?: AbortSignal | undefined },
  ): Promise<MultipartUpload> {
    // S3 knows of an upload before its id is known here: until then it is its key that lives
    const isBegun = keepAlive(key);
    try {
      return new MultipartUpload(context, await createUpload(context.client, key, options));
    } finally {
      isBegun();
    }
  }

  /**
   * Goes on with an upload that was kept.
   *
   * @param mayBeCompleting somebody may have asked for its completion, so that it is never aborted
   */
  static resume(context: UploadContext, name: UploadName, mayBeCompleting: boolean): MultipartUpload {
    const upload = new MultipartUpload(context, name);
    upload.#isKept = true;
    if (mayBeCompleting) upload.#state = "unknown";
    return upload;
  }

  /**
   * To be called before its name is put down where collectors look: from then on it may stand still for any time.
   *
   * @throws FixityError `upload-stalled`
   */
  keep(): void {
    this.#assertFresh();
    this.#isKept = true;
  }

  /** This process has done with it for now. */
  leave(): void {
    this.#forget();
  }

  /** Sends a part; no attempt is begun once `signal` is aborted. */
  async upload(number: number, payload: Payload, signal: AbortSignal): Promise<Part> {
    const part = await uploadPart(this.#context.client, this.name, number, { payload, signal });
    this.#lastSign = Date.now();
    return part;
  }

  /** Copies bytes `first` to `last` of an object into a part; no attempt is begun once `signal` is aborted. */
  async copy(number: number, source: { key: string; first: number; last: number; signal: AbortSignal }): Promise<Part> {
    const part = await uploadPartCopy(this.#context.client, this.name, number, source);
    this.#lastSign = Date.now();
    return part;
  }

  /**
   * Makes an object of all parts, of `size` bytes.
   *
   * @throws S3Error when it is not known that there is one
   */
  async complete(parts: readonly Part[], size: number): Promise<Completion> {
    this.#assertFresh();
    const isFirst = this.#state === "open";
    this.#state = "completing";
    try {
      const completion = await this.#tryComplete(parts, size, isFirst);
      this.#state = "completed";
      return completion;
    } catch (error) {
      if (this.#state === "completing") this.#state = "unknown";
      throw error;
    } finally {
      this.#forget();
    }
  }

  /** Throws the parts away, where that is safe. Does not fail: what it could not do is logged, and left to the collector. */
  async abort(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "aborted";
    try {
      await abortUpload(this.#context.client, this.name);
    } catch (error) {
      this.#context.log("a multipart upload could not be aborted", error);
    } finally {
      this.#forget();
    }
  }

  #assertFresh(): void {
    if (this.#isKept || Date.now() - this.#lastSign <= this.#context.idleLimit) return;
    throw new FixityError("upload-stalled", "The upload stood still for so long that it may have been cleared away.");
  }

  async #tryComplete(parts: readonly Part[], size: number, first: boolean): Promise<Completion> {
    const { client } = this.#context;
    const attempts = new Attempts(client.limits);
    let isFirst = first;
    for (;;) {
      try {
        const outcome = await answeredOrFound({
          send: (signal) => completeUpload(client, this.name, { parts, signal }),
          look: (signal) => this.#isMadeOf(parts, size, signal),
          every: client.lookEvery,
        });
        return { isInferred: outcome === null };
      } catch (error) {
        // Only the very first answer can say that nothing was done; a later "no such upload" may mean that all was.
        if (isFirst && error instanceof S3Error && error.isRefusal && error.status !== 404) {
          this.#state = "open";
          throw error;
        }
        if (await this.#isThere(size)) return { isInferred: true };
        if (error instanceof S3Error && error.isRefusal) throw error;
        if (!(await attempts.another(error))) throw error;
        isFirst = false;
      }
    }
  }

  /**
   * Whether the object is there and made of these very parts: another one of the same size may have been there before. Where
   * tags of parts are no MD5s (SSE-KMS), that cannot be told, and the answer is waited for.
   */
  async #isMadeOf(parts: readonly Part[], size: number, signal: AbortSignal): Promise<boolean> {
    const found = await headObject(this.#context.client, this.name.key, { signal, patience: "quick" });
    return found?.size === size && found.etag === tagOfParts(parts);
  }

  async #isThere(size: number): Promise<boolean> {
    const found = await headObject(this.#context.client, this.name.key);
    return found?.size === size;
  }
}

/** The entity tag that S3 gives an object of these parts: the MD5 of their MD5s, and how many there are. */
function tagOfParts(parts: readonly Part[]): string {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ""), "hex"));
  return `"${hash.digest("hex")}-${parts.length}"`;
}
