import { type Body, EventManager, type Meta, type Uppy, type UppyFile } from "@uppy/core";
import { FixityClientError } from "../client/errors.ts";
import type { Client, Upload, UploadProgress, UploadResult } from "../client/types.ts";

/** What one upload is made of. */
export interface FileUploadParts<M extends Meta, B extends Body> {
  readonly uppy: Uppy<M, B>;
  readonly client: Client;
  readonly file: UppyFile<M, B>;
  readonly content: Blob;
  /** Texts for people. */
  readonly says: { readonly hashing: string };
}

/** One file of Uppy's, from a start or another attempt to its end: Uppy steers it and is told how it goes. */
export class FileUpload<M extends Meta, B extends Body> {
  readonly #parts: FileUploadParts<M, B>;
  readonly #events: EventManager<M, B>;
  #isHashing = false;

  constructor(parts: FileUploadParts<M, B>) {
    this.#parts = parts;
    this.#events = new EventManager(parts.uppy);
  }

  /** Resolves when the upload has ended, well or not. */
  async run(): Promise<void> {
    const { uppy, client, file, content } = this.#parts;
    const upload = client.start(content, {
      filename: file.meta.name,
      type: file.type,
      // Uppy's own, which a file restored by Golden Retriever keeps, and which tells files of several folders apart
      fingerprint: file.id,
      onProgress: (progress) => this.#tellProgress(progress),
    });
    if (file.isPaused === true) upload.pause();
    this.#steer(upload);
    try {
      this.#succeed(await upload.done);
    } catch (error) {
      // given up by who removed it, cancelled all, or took the plugin away
      if (error instanceof FixityClientError && error.code === "aborted") return;
      uppy.emit("upload-error", this.#current, error as Error, this.#answerIn(error));
    } finally {
      this.#events.remove();
    }
  }

  /** The file as Uppy has it now. */
  get #current(): UppyFile<M, B> {
    const { uppy, file } = this.#parts;
    return uppy.getFile(file.id) ?? file;
  }

  #steer(upload: Upload): void {
    const { id } = this.#parts.file;
    this.#events.onPause(id, (isPaused) => (isPaused ? upload.pause() : upload.resume()));
    this.#events.onPauseAll(id, () => upload.pause());
    this.#events.onResumeAll(id, () => upload.resume());
    this.#events.onFileRemove(id, () => upload.abort());
    this.#events.onCancelAll(id, () => upload.abort());
  }

  #tellProgress({ phase, bytes, total }: UploadProgress): void {
    const { uppy, file, says } = this.#parts;
    if (uppy.getFile(file.id) === undefined) return;
    const isHashing = phase === "hashing";
    if (isHashing) {
      const value = total === null || total === 0 ? 0 : bytes / total;
      uppy.emit("preprocess-progress", this.#current, { mode: "determinate", message: says.hashing, value });
    } else {
      if (this.#isHashing) uppy.emit("preprocess-complete", this.#current);
      const uploadStarted = this.#current.progress.uploadStarted ?? Date.now();
      uppy.emit("upload-progress", this.#current, { uploadStarted, bytesUploaded: bytes, bytesTotal: total });
    }
    this.#isHashing = isHashing;
  }

  /** What the server answered, where it did: the status, and the problem's code and facts. */
  #answerIn(error: unknown): { status: number; body: B } | undefined {
    if (!(error instanceof FixityClientError) || error.status === null) return undefined;
    const { status, code, detail, facts } = error;
    return { status, body: { ...facts, code, detail } as Body as B };
  }

  #succeed(result: UploadResult): void {
    const { uppy } = this.#parts;
    if (this.#isHashing) uppy.emit("preprocess-complete", this.#current);
    const { url, size, existed } = result;
    const body = { ...result } as Body as B;
    uppy.emit("upload-success", this.#current, {
      status: existed ? 200 : 201,
      uploadURL: url,
      bytesUploaded: size,
      body,
    });
  }
}
