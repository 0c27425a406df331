import type { Body, Meta, Uppy, UppyEventMap, UppyFile } from "@uppy/core";
import { type Client, FixityClientError, type Upload, type UploadProgress, type UploadResult } from "../client.ts";

type ProcessingProgress = Parameters<UppyEventMap<Meta, Body>["preprocess-progress"]>[1];

interface FileUploadOptions<M extends Meta, B extends Body> {
  readonly uppy: Uppy<M, B>;
  readonly client: Client;
  readonly content: Blob;
  /** The messages while nothing of the file is sent. */
  readonly messages: Readonly<Record<"preparing" | "hashing", string>>;
}

/** One attempt to upload a file of Uppy's. Starts at once, and reports to Uppy. */
export class FileUpload<M extends Meta, B extends Body> {
  readonly #uppy: Uppy<M, B>;
  readonly #file: UppyFile<M, B>;
  readonly #messages: FileUploadOptions<M, B>["messages"];
  readonly #upload: Upload;
  /** Whether Uppy shows that the file is prepared or hashed. */
  #isPreprocessing = false;
  #isWaiting = false;
  /** Whether Uppy has removed or replaced the file. */
  #isCancelled = false;

  constructor(file: UppyFile<M, B>, { uppy, client, content, messages }: FileUploadOptions<M, B>) {
    this.#uppy = uppy;
    this.#file = file;
    this.#messages = messages;
    this.#upload = client.start(content, {
      filename: file.meta.name,
      type: file.type,
      // a file that Golden Retriever restores keeps Uppy's id, which also distinguishes files of
      // several folders
      fingerprint: file.id,
      onProgress: (progress) => this.#reportProgress(progress),
    });
    if (file.isPaused === true) this.pause();
  }

  /** Resolves when the upload has ended, successfully or not, and the result is reported to Uppy. */
  async ended(): Promise<void> {
    try {
      const result = await this.#upload.done;
      if (!this.#isCancelled) this.#reportSuccess(result);
    } catch (error) {
      if (!this.#isCancelled) this.#reportFailure(error);
    }
  }

  pause(): void {
    this.#upload.pause();
  }

  resume(): void {
    this.#upload.resume();
  }

  /** Cancels the upload, also at the server. Uppy receives no more events. */
  cancel(): void {
    this.#isCancelled = true;
    this.#upload.abort();
  }

  /** The file as Uppy has it now. */
  get #current(): UppyFile<M, B> {
    return this.#uppy.getFile(this.#file.id) ?? this.#file;
  }

  #reportProgress({ phase, bytes, total, wait }: UploadProgress): void {
    if (this.#isCancelled) return;
    if (wait !== null || this.#isWaiting) this.#uppy.emit("fixity-waiting", this.#current, wait);
    this.#isWaiting = wait !== null;
    if (this.#isWaiting) return this.#endPreprocessing();
    if (phase === "preparing") {
      this.#reportPreprocessing({ mode: "indeterminate", message: this.#messages.preparing });
      return;
    }
    if (phase === "hashing") {
      // hashing a small file ends with its first report, which would only flicker
      if (bytes === 0 || total === null) return;
      this.#reportPreprocessing({ mode: "determinate", message: this.#messages.hashing, value: bytes / total });
      return;
    }
    this.#endPreprocessing();
    const uploadStarted = this.#current.progress.uploadStarted ?? Date.now();
    this.#uppy.emit("upload-progress", this.#current, { uploadStarted, bytesUploaded: bytes, bytesTotal: total });
  }

  #reportPreprocessing(progress: ProcessingProgress): void {
    this.#isPreprocessing = true;
    this.#uppy.emit("preprocess-progress", this.#current, progress);
  }

  #endPreprocessing(): void {
    if (!this.#isPreprocessing) return;
    this.#isPreprocessing = false;
    this.#uppy.emit("preprocess-complete", this.#current);
  }

  #reportSuccess(result: UploadResult): void {
    this.#endPreprocessing();
    const { url, size, existed } = result;
    this.#uppy.emit("upload-success", this.#current, {
      status: existed ? 200 : 201,
      uploadURL: url,
      bytesUploaded: size,
      body: { ...result } as Body as B,
    });
  }

  #reportFailure(error: unknown): void {
    this.#endPreprocessing();
    // Uppy's plugins distinguish a missing network from a response by this property
    const isNetworkError = error instanceof FixityClientError && error.code === "network-error";
    const reported = Object.assign(error as Error, { isNetworkError });
    this.#uppy.emit("upload-error", this.#current, reported, this.#responseIn(error));
  }

  /**
   * The response that an error reports, if there was one: its status, and the problem's code,
   * detail and facts.
   */
  #responseIn(error: unknown): { status: number; body: B } | undefined {
    if (!(error instanceof FixityClientError) || error.status === null) return undefined;
    const { status, code, detail, facts } = error;
    return { status, body: { ...facts, code, detail } as Body as B };
  }
}
