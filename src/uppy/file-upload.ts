import type { Body, Meta, Uppy, UppyFile } from "@uppy/core";
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

/** One file of Uppy's, from a start or another attempt to its end: sends it, and tells Uppy how it goes. */
export class FileUpload<M extends Meta, B extends Body> {
  readonly #parts: FileUploadParts<M, B>;
  readonly #upload: Upload;
  #isHashing = false;
  /** Uppy does not have the file any more, or another one in its place. */
  #isGivenUp = false;

  constructor(parts: FileUploadParts<M, B>) {
    const { client, content, file } = parts;
    this.#parts = parts;
    this.#upload = client.start(content, {
      filename: file.meta.name,
      type: file.type,
      // Uppy's own, which a file restored by Golden Retriever keeps, and which tells files of several folders apart
      fingerprint: file.id,
      onProgress: (progress) => this.#tellProgress(progress),
    });
    if (file.isPaused === true) this.pause();
  }

  /** Resolves when the upload has ended, well or not, and Uppy has been told. */
  async ended(): Promise<void> {
    try {
      const result = await this.#upload.done;
      if (!this.#isGivenUp) this.#succeed(result);
    } catch (error) {
      if (!this.#isGivenUp) this.#fail(error);
    }
  }

  pause(): void {
    this.#upload.pause();
  }

  resume(): void {
    this.#upload.resume();
  }

  /** Ends it, also at the server, and tells Uppy nothing more. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#upload.abort();
  }

  /** The file as Uppy has it now. */
  get #current(): UppyFile<M, B> {
    const { uppy, file } = this.#parts;
    return uppy.getFile(file.id) ?? file;
  }

  #tellProgress({ phase, bytes, total }: UploadProgress): void {
    const { uppy, says } = this.#parts;
    if (this.#isGivenUp) return;
    if (phase === "hashing") {
      // the first word of it: of a small file it is the last one, and would only flicker
      if (bytes === 0 || total === null) return;
      this.#isHashing = true;
      const value = bytes / total;
      uppy.emit("preprocess-progress", this.#current, { mode: "determinate", message: says.hashing, value });
      return;
    }
    this.#endHashing();
    const uploadStarted = this.#current.progress.uploadStarted ?? Date.now();
    uppy.emit("upload-progress", this.#current, { uploadStarted, bytesUploaded: bytes, bytesTotal: total });
  }

  #endHashing(): void {
    if (!this.#isHashing) return;
    this.#isHashing = false;
    this.#parts.uppy.emit("preprocess-complete", this.#current);
  }

  #succeed(result: UploadResult): void {
    this.#endHashing();
    const { url, size, existed } = result;
    this.#parts.uppy.emit("upload-success", this.#current, {
      status: existed ? 200 : 201,
      uploadURL: url,
      bytesUploaded: size,
      body: { ...result } as Body as B,
    });
  }

  #fail(error: unknown): void {
    this.#endHashing();
    // by which Uppy's plugins tell a network that is gone from what a server says
    const told = Object.assign(error as Error, { isNetworkError: isOfTheNetwork(error) });
    this.#parts.uppy.emit("upload-error", this.#current, told, this.#answerIn(error));
  }

  /** What the server answered, where it did: the status, and the problem's code, text and facts. */
  #answerIn(error: unknown): { status: number; body: B } | undefined {
    if (!(error instanceof FixityClientError) || error.status === null) return undefined;
    const { status, code, detail, facts } = error;
    return { status, body: { ...facts, code, detail } as Body as B };
  }
}

function isOfTheNetwork(error: unknown): boolean {
  return error instanceof FixityClientError && error.code === "network-error";
}
