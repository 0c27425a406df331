/**
 * One upload, from the source that the caller passes to the result: opens the source and decides
 * how it is sent.
 */
import { delay } from "../base/abort-race.ts";
import type { Semaphore } from "../base/semaphore.ts";
import { AppendSize } from "./append-size.ts";
import { asClientError, FixityClientError } from "./errors.ts";
import { assertUnchanged } from "./fetch-transport.ts";
import { formatDisposition, formatReprDigest } from "./formats.ts";
import { Meter } from "./meter.ts";
import type { Content, Platform } from "./platform.ts";
import { type PreparedFile, prepareSource } from "./prepare.ts";
import { type Receipt, receiptIn } from "./responses.ts";
import { ResumableUpload, type UploadRun } from "./resumable-upload.ts";
import { type KeysInUse, ResumeEntry } from "./resume-entry.ts";
import { Retrier, type RetryPolicy } from "./retrier.ts";
import type { Service } from "./service.ts";
import { type AppendSource, FileAppends, type OpenedSource, openSource, StreamAppends } from "./source.ts";
import type {
  PrepareFile,
  RetryWait,
  Upload,
  UploadOptions,
  UploadResult,
  UploadSource,
  UploadStorage,
} from "./types.ts";
import { UploadControl } from "./upload-control.ts";
import { type TransferRates, UploadDigest } from "./upload-digest.ts";

/** A file up to this size is sent in one request. */
const PLAIN_UPLOAD_MAX_BYTES = 1024 * 1024;
/** The longest append of a stream, which is held in memory. */
const STREAM_APPEND_MAX_BYTES = 8 * 1024 * 1024;

/** Failures that would recur if the upload were resumed from the bytes that the server has. */
const UNRESUMABLE_CODES: ReadonlySet<string> = new Set([
  "digest-mismatch",
  "inconsistent-length",
  "size-limit-exceeded",
  "source-changed",
  "upload-damaged",
]);

/** What all uploads of one client share. */
export interface SharedState {
  readonly platform: Platform;
  readonly service: Service;
  readonly storage: UploadStorage | null;
  readonly retryPolicy: RetryPolicy;
  readonly prepare: PrepareFile | null;
  /** Bounds the uploads that run at the same time. */
  readonly semaphore: Semaphore;
  /** Permits that an upload needs, unless it is that of a small file, which needs one. */
  readonly permitsPerUpload: number;
  readonly rates: TransferRates;
  readonly keysInUse: KeysInUse;
}

/** The handle of one upload, which starts at once. */
export class UploadHandle implements Upload {
  readonly done: Promise<UploadResult>;
  readonly #shared: SharedState;
  readonly #control: UploadControl;
  #isAborted = false;

  constructor(shared: SharedState, source: UploadSource, options: UploadOptions) {
    this.#shared = shared;
    this.#control = new UploadControl(shared.semaphore, isSmall(source) ? 1 : shared.permitsPerUpload);
    this.done = this.#run(source, options);
    // a caller that only pauses the upload must not get an unhandled rejection
    this.done.catch(() => null);
  }

  get isPaused(): boolean {
    return this.#control.isPaused;
  }

  pause(): void {
    this.#control.pause();
  }

  resume(): void {
    this.#control.resume();
  }

  abort(): void {
    this.#isAborted = true;
    this.stop(new FixityClientError("aborted", "The upload was cancelled."));
  }

  /** Stops the upload here. The server keeps its bytes if a later run can resume it. */
  stop(reason: unknown): void {
    this.#control.cancel(reason);
  }

  async #run(source: UploadSource, options: UploadOptions): Promise<UploadResult> {
    const { signal } = options;
    const stop = (): void => this.stop(signal?.reason);
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop);
    try {
      await this.#control.ready();
      return await this.#upload(source, options);
    } catch (error) {
      throw asClientError(error);
    } finally {
      this.#control.release();
      signal?.removeEventListener("abort", stop);
    }
  }

  async #upload(source: UploadSource, options: UploadOptions): Promise<UploadResult> {
    const { platform, service, storage, rates, keysInUse, retryPolicy } = this.#shared;
    const { declare = null, resume = true, fingerprint, onProgress } = options;
    const declared = typeof declare === "string" ? parseDeclared(declare) : declare;
    const meter = new Meter(null, onProgress);
    const prepared = await this.#prepare(source, options, meter);
    const opened = prepared ?? (await openSource(source, platform));
    const { content } = opened;
    if (content !== null) meter.total = content.size;
    // a prepared file has its own name and type, and was prepared with the caller's
    const { filename, type } = prepared === null ? options : {};
    const naming = { filename: filename ?? opened.name, type: fieldText(type ?? opened.type) };
    const originalSize = prepared?.original.size ?? null;
    // a fingerprint replaces the identity and the modification time
    const identified = fingerprint === undefined ? opened : { identity: fingerprint, lastModified: 0 };
    const entry =
      resume && content !== null
        ? ResumeEntry.of(
            { ...identified, ...naming, content, originalSize },
            { storage, endpoint: service.endpoint, keysInUse },
          )
        : null;
    const control = this.#control;
    const onWait = (wait: RetryWait | null): void => {
      if (!control.signal.aborted) meter.waiting(wait);
    };
    const retrier = new Retrier({ control, network: platform.network, policy: retryPolicy, onWait });
    const run = { service, control, retrier, meter, rates, namingFields: namingFields(naming) };
    const sending = new Sending(run, { platform, declare: declared, entry, keepsBytes: () => !this.#isAborted });
    try {
      const receipt = await sending.send(opened);
      if (prepared !== null) await assertUnchanged(prepared.original);
      return { ...receipt, sent: meter.sent };
    } finally {
      meter.end();
      entry?.release();
    }
  }

  /** `null` if there is nothing to prepare. */
  async #prepare(source: UploadSource, options: UploadOptions, meter: Meter): Promise<PreparedFile | null> {
    const { platform, prepare: prepareAny } = this.#shared;
    const { prepare = prepareAny, filename, type } = options;
    if (prepare === null) return null;
    meter.preparing();
    return prepareSource(source, prepare, { platform, filename, type, signal: this.#control.signal });
  }
}

interface SendingOptions {
  readonly platform: Platform;
  /**
   * The digest in hex, or whether to compute it; `null` to compute it as long as that does not
   * delay the upload.
   */
  readonly declare: boolean | string | null;
  readonly entry: ResumeEntry | null;
  /** Whether the server should keep the bytes of an upload that is stopped. */
  readonly keepsBytes: () => boolean;
}

/** Sends an opened source: a small file in one request, anything else as a resumable upload. */
class Sending {
  readonly #run: UploadRun;
  readonly #options: SendingOptions;

  constructor(run: UploadRun, options: SendingOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** @throws FixityClientError */
  async send({ content, stream }: OpenedSource): Promise<Receipt> {
    if (stream !== null) return this.#sendStream(stream);
    const receipt = await this.#sendFile(content);
    // A browser may read the file as it was when the user chose it, even if it has changed since.
    await assertUnchanged(content);
    return receipt;
  }

  async #sendFile(content: Content): Promise<Receipt> {
    try {
      return await this.#sendFileOnce(content);
    } catch (error) {
      // An earlier run may have sent another file, or bytes were corrupted in transit: try once
      // more, from the beginning.
      if (!(error instanceof FixityClientError) || error.code !== "digest-mismatch") throw error;
      if (typeof this.#options.declare === "string") throw error;
      return this.#sendFileOnce(content);
    }
  }

  async #sendFileOnce(content: Content): Promise<Receipt> {
    const { size } = content;
    const { rates, retrier } = this.#run;
    await this.#run.control.ready();
    const digest = this.#digestOf(content);
    try {
      const asksFirst = digest.isPending && rates.advice({ toHash: size, toSend: size }) === "wait";
      if (size <= PLAIN_UPLOAD_MAX_BYTES || asksFirst) {
        await retrier.run(() => digest.wait(digest.settled, this.#run));
      }
      if (size <= PLAIN_UPLOAD_MAX_BYTES && !asksFirst) {
        try {
          return await this.#sendPlain(content, digest.hex);
        } catch (error) {
          if (!isProxyLimit(error)) throw error; // smaller appends may pass
        }
      }
      return await this.#sendAppends(new FileAppends(content), digest, new AppendSize());
    } catch (error) {
      // a store without resumable uploads: the server treats the creation as a plain upload without
      // content
      if (!(error instanceof FixityClientError) || error.code !== "missing-file" || size === 0) throw error;
      return await this.#sendPlain(content, digest.hex);
    } finally {
      digest.giveUp();
    }
  }

  async #sendStream(stream: AsyncIterable<Uint8Array>): Promise<Receipt> {
    const { control, retrier, rates } = this.#run;
    const { declare, platform } = this.#options;
    const hash = declare === true || declare === null ? (platform.hashing?.incremental() ?? null) : null;
    const source = new StreamAppends(stream, { hash, concat: platform.concat });
    try {
      const first = await retrier.run(() => control.wait(source.take(0, PLAIN_UPLOAD_MAX_BYTES)));
      if (first.isLast) return await this.#sendFile(first.content);
      const digest =
        hash === null
          ? UploadDigest.known(typeof declare === "string" ? declare : null)
          : UploadDigest.compute(() => source.ended.then(() => hash.digest()), rates);
      const appendSize = new AppendSize({ first: STREAM_APPEND_MAX_BYTES, max: STREAM_APPEND_MAX_BYTES });
      return await this.#sendAppends(source, digest, appendSize);
    } finally {
      hash?.drop();
      // not awaited, because a read may hang
      void source.close().catch(() => null);
    }
  }

  async #sendAppends(source: AppendSource, digest: UploadDigest, appendSize: AppendSize): Promise<Receipt> {
    const { entry, keepsBytes, declare } = this.#options;
    digest.isRequired = declare !== null;
    const upload = new ResumableUpload(this.#run, { source, digest, entry, appendSize });
    try {
      return await upload.send();
    } catch (error) {
      const isKept = entry !== null && keepsBytes() && !isUnresumable(error);
      // If the file cannot be read because the page is being left, it never gets past this wait.
      if (hasCode(error, "source-changed")) await delay(this.#options.platform.endingGraceMs);
      if (!isKept) await upload.cancel();
      throw error;
    }
  }

  /** Sends a file in one request. */
  #sendPlain(content: Content, hex: string | null): Promise<Receipt> {
    const { service, retrier, meter, rates, namingFields } = this.#run;
    return retrier.run(async (signal) => {
      const began = performance.now();
      meter.reached(0);
      const response = await service.send({
        method: "POST",
        url: service.endpoint,
        headers: {
          ...namingFields,
          ...(hex !== null && { "Repr-Digest": formatReprDigest(hex) }),
          // states that the file is empty, and that its content is not missing
          ...(content.size === 0 && { "Upload-Complete": "?1" }),
        },
        content,
        onSent: meter.counter(0),
        signal,
      });
      rates.sent(content.size, performance.now() - began);
      return receiptIn(response, service.endpoint, { digest: hex, size: content.size });
    });
  }

  #digestOf(content: Content): UploadDigest {
    const { rates, control } = this.#run;
    const { declare, platform } = this.#options;
    const { hashing } = platform;
    if (typeof declare === "string") return UploadDigest.known(declare);
    if (declare === false || hashing === null) return UploadDigest.known(null);
    return UploadDigest.compute(async (onHashed, signal) => {
      const began = performance.now();
      const hex = await hashing.digest(content, { signal: AbortSignal.any([control.signal, signal]), onHashed });
      rates.hashed(content.size, performance.now() - began);
      return hex;
    }, rates);
  }
}

/** Whether something between here and the server refused a request for its size. */
function isProxyLimit(error: unknown): boolean {
  if (!(error instanceof FixityClientError) || error.final) return false;
  return error.status === 413 && error.code !== "size-limit-exceeded";
}

function isUnresumable(error: unknown): boolean {
  return error instanceof FixityClientError && (error.final || UNRESUMABLE_CODES.has(error.code));
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof FixityClientError && error.code === code;
}

function namingFields(naming: { filename: string | null; type: string | null }): Readonly<Record<string, string>> {
  const { filename, type } = naming;
  // the server would parse the content as a form
  const isForm = type !== null && /^\s*multipart\/form-data\b/i.test(type);
  return {
    ...(type !== null && { "Content-Type": isForm ? "application/octet-stream" : type }),
    ...(filename !== null && { "Content-Disposition": formatDisposition(filename) }),
  };
}

/** @throws FixityClientError `invalid-option` */
function parseDeclared(digest: string): string {
  const hex = digest.replace(/^sha256:/, "");
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  const shown = JSON.stringify(digest.slice(0, 100));
  const detail = `declare must be true, false, or sha256:<64 lower-case hex digits>, not ${shown}.`;
  throw new FixityClientError("invalid-option", detail);
}

/** A type that cannot stand in a header field is ignored. */
function fieldText(type: string | null): string | null {
  return type !== null && /^[\x20-\x7e]+$/.test(type) ? type : null;
}

/** Whether a source is known to need no more than one request. */
function isSmall(source: UploadSource): boolean {
  return source instanceof Blob && source.size <= PLAIN_UPLOAD_MAX_BYTES;
}
