import type { Body, Meta, Uppy, UppyFile } from "@uppy/core";
import type { FileUpload } from "./file-upload.ts";

/**
 * The uploads under way, steered by what Uppy says of their files. Listens once for all of them: with listeners for each file, as
 * Uppy's `EventManager` makes them, the work for many files grows with the square of their number.
 */
export class Running<M extends Meta, B extends Body> {
  readonly #uploads = new Map<string, FileUpload<M, B>>();
  readonly #uppy: Uppy<M, B>;

  readonly #pauseOne = (file: UppyFile<M, B> | undefined, isPaused: boolean): void => {
    const upload = this.#uploads.get(file?.id ?? "");
    if (isPaused) upload?.pause();
    else upload?.resume();
  };
  readonly #pauseAll = (): void => this.#uploads.forEach((upload) => upload.pause());
  readonly #resumeAll = (): void => this.#uploads.forEach((upload) => upload.resume());
  readonly #removed = ({ id }: UppyFile<M, B>): void => this.#giveUp(id);
  readonly #cancelAll = (): void => [...this.#uploads.keys()].forEach((id) => this.#giveUp(id));

  constructor(uppy: Uppy<M, B>) {
    this.#uppy = uppy;
    uppy.on("upload-pause", this.#pauseOne);
    uppy.on("pause-all", this.#pauseAll);
    uppy.on("resume-all", this.#resumeAll);
    uppy.on("file-removed", this.#removed);
    uppy.on("cancel-all", this.#cancelAll);
  }

  /** Steers an upload until it has ended. */
  async see(id: string, upload: FileUpload<M, B>): Promise<void> {
    this.#uploads.set(id, upload);
    await upload.ended();
    // removed and added again, the file has another upload by now
    if (this.#uploads.get(id) === upload) this.#uploads.delete(id);
  }

  /** Listens to Uppy no more. */
  close(): void {
    this.#uppy.off("upload-pause", this.#pauseOne);
    this.#uppy.off("pause-all", this.#pauseAll);
    this.#uppy.off("resume-all", this.#resumeAll);
    this.#uppy.off("file-removed", this.#removed);
    this.#uppy.off("cancel-all", this.#cancelAll);
  }

  #giveUp(id: string): void {
    this.#uploads.get(id)?.giveUp();
    this.#uploads.delete(id);
  }
}
