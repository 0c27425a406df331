import { DigestJob } from "./upload-digest.ts";
import { waitForDigest } from "./digest-wait.ts";
import { FixityClientError } from "./errors.ts";
import { PartSize } from "./append-size.ts";
import { FileParts, type Parts, StreamParts } from "./parts.ts";
import { uploadPlainly } from "./plain-upload.ts";
import type { Content } from "./platform.ts";
import type { Receipt } from "./receipt.ts";
import { ResumableUpload } from "./resumable-upload.ts";
import type { OpenedSource } from "./source.ts";
import type { UploadContext } from "./upload-context.ts";
import type { UploadMemory } from "./resume-entry.ts";

/** Bytes up to which a file goes in one request. */
const SMALL = 1024 * 1024;
/** Bytes of a stream that are held in memory. */
const STREAM_PART = 8 * 1024 * 1024;

/** Failures that come up again where an upload goes on from its bytes until now. */
const OF_THE_FILE: ReadonlySet<string> = new Set([
  "digest-mismatch",
  "inconsistent-length",
  "size-limit-exceeded",
  "source-changed",
  "upload-damaged",
]);

/** What is uploaded, and how. */
export interface TaskOptions {
  readonly source: OpenedSource;
  /** In hex where it is known, else whether to compute it; `null`: as long as that does not hold up the upload. */
  readonly declare: boolean | string | null;
  readonly memory: UploadMemory | null;
  /** Whether the server is to keep what it has when the upload is stopped. */
  readonly keeps: () => boolean;
}

/** One upload from its source to its receipt: chooses how it is sent. */
export class UploadTask {
  readonly #context: UploadContext;
  readonly #options: TaskOptions;

  constructor(context: UploadContext, options: TaskOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** @throws FixityClientError */
  async run(): Promise<Receipt> {
    const { source } = this.#options;
    if (source.stream === null) return this.#sendFile(source.content);
    return this.#sendStream(source.stream);
  }

  async #sendFile(content: Content): Promise<Receipt> {
    try {
      return await this.#sendFileOnce(content);
    } catch (error) {
      // Perhaps what an earlier run had sent was another file, or bytes were damaged on the way: once more, from the beginning.
      if (!(error instanceof FixityClientError) || error.code !== "digest-mismatch") throw error;
      if (typeof this.#options.declare === "string") throw error;
      return this.#sendFileOnce(content);
    }
  }

  async #sendFileOnce(content: Content): Promise<Receipt> {
    const { size } = content;
    const { rates, persistence } = this.#context;
    await persistence.ready();
    const digest = this.#digestOf(content);
    try {
      const isForAsking = digest.isPending && rates.advice({ toHash: size, toSend: size }) === "wait";
      if (size <= SMALL || isForAsking) {
        await persistence.run(() => waitForDigest(this.#context, digest, digest.settled));
      }
      if (size <= SMALL && !isForAsking) {
        try {
          return await uploadPlainly(this.#context, content, digest.hex);
        } catch (error) {
          if (!isProxyLimit(error)) throw error; // in parts it may pass
        }
      }
      return await this.#sendParts(new FileParts(content), digest, new PartSize());
    } catch (error) {
      // a store that keeps no unfinished uploads: the server takes an empty creation for a file that is missing
      if (!(error instanceof FixityClientError) || error.code !== "missing-file" || size === 0) throw error;
      return await uploadPlainly(this.#context, content, digest.hex);
    } finally {
      digest.giveUp();
    }
  }

  async #sendStream(stream: AsyncIterable<Uint8Array>): Promise<Receipt> {
    const { platform, steering, persistence } = this.#context;
    const { declare } = this.#options;
    const hash = declare === true || declare === null ? (platform.hashing?.running() ?? null) : null;
    const parts = new StreamParts({ stream, hash, join: platform.join });
    try {
      const first = await persistence.run(() => steering.wait(parts.take(0, SMALL)));
      if (first.isLast) return await this.#sendFile(first.content);
      const known = typeof declare === "string" ? declare : null;
      const digest =
        hash === null ? DigestJob.known(known) : DigestJob.begin(() => parts.ended.then(() => hash.digest()));
      return await this.#sendParts(parts, digest, new PartSize({ first: STREAM_PART, most: STREAM_PART }));
    } finally {
      hash?.drop();
      // a read that hangs is not waited for
      void parts.close().catch(() => null);
    }
  }

  async #sendParts(parts: Parts, digest: DigestJob, partSize: PartSize): Promise<Receipt> {
    const { memory, keeps, declare } = this.#options;
    const mustDeclare = declare !== null;
    const upload = new ResumableUpload(this.#context, { parts, digest, mustDeclare, memory, partSize });
    try {
      return await upload.run();
    } catch (error) {
      const isKept = memory !== null && keeps() && !isOfTheFile(error);
      if (!isKept) await upload.cancel();
      throw error;
    }
  }

  #digestOf(content: Content): DigestJob {
    const { platform, rates, steering } = this.#context;
    const { hashing } = platform;
    const { declare } = this.#options;
    if (typeof declare === "string") return DigestJob.known(declare);
    if (declare === false || hashing === null) return DigestJob.known(null);
    return DigestJob.begin(async (onHashed, signal) => {
      const began = performance.now();
      const hex = await hashing.digest(content, { signal: AbortSignal.any([steering.signal, signal]), onHashed });
      rates.hashed(content.size, performance.now() - began);
      return hex;
    });
  }
}

/** A request was too large for something between here and the server. */
function isProxyLimit(error: unknown): boolean {
  if (!(error instanceof FixityClientError) || error.final) return false;
  return error.status === 413 && error.code !== "size-limit-exceeded";
}

/** The same file cannot be continued from what the server has. */
function isOfTheFile(error: unknown): boolean {
  return error instanceof FixityClientError && (error.final || OF_THE_FILE.has(error.code));
}
