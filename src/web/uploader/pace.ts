import { type Body, type Meta, UIPlugin, type UIPluginOptions, type Uppy } from "@uppy/core";
import { type ComponentChild, h } from "@uppy/core/utils/preact";
import { Meter } from "../../client/meter.ts";
import type { UploadProgress } from "../../client/types.ts";

interface PaceOptions extends UIPluginOptions {
  /** Says how far, how quick, and how much longer. */
  readonly say: (progress: UploadProgress) => string;
}

/** How far and how quick uploads are: the Dashboard tells no rate, and guesses hours for the first seconds. */
export class Pace<M extends Meta, B extends Body> extends UIPlugin<PaceOptions, M, B> {
  #meter: Meter | null = null;
  #total = 0;
  #progress: UploadProgress | null = null;

  constructor(uppy: Uppy<M, B>, options: PaceOptions) {
    super(uppy, options);
    this.id = "Pace";
    // where the Dashboard lets others show how uploads go
    this.type = "progressindicator";
  }

  override install(): void {
    this.uppy.on("upload-progress", this.#measure);
    if (this.opts.target !== undefined) this.mount(this.opts.target, this);
  }

  override uninstall(): void {
    this.uppy.off("upload-progress", this.#measure);
    this.unmount();
  }

  override render(): ComponentChild {
    const isSending = this.uppy
      .getFiles()
      .some(
        ({ progress, isPaused, error }) =>
          Boolean(progress.uploadStarted) && !progress.uploadComplete && !isPaused && error == null,
      );
    const { rate = null, remaining = null } = this.#progress ?? {};
    if (!isSending || this.#progress === null || rate === null || remaining === null) return null;
    return h("div", { class: "pace" }, this.opts.say(this.#progress));
  }

  readonly #measure = (): void => {
    const files = this.uppy.getFiles();
    const sent = files.reduce((sum, { progress }) => sum + (progress.bytesUploaded || 0), 0);
    const total = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
    // files that came or went make another sum of it
    if (this.#meter === null || total !== this.#total) this.#begin(total);
    this.#meter?.stands(sent);
  };

  #begin(total: number): void {
    this.#total = total;
    this.#progress = null;
    this.#meter = new Meter({ total, onProgress: (progress) => (this.#progress = progress) });
  }
}
