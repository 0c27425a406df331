import { type Body, type Meta, UIPlugin, type UIPluginOptions, type Uppy } from "@uppy/core";
import { type ComponentChild, h } from "@uppy/core/utils/preact";
import { MovingRate } from "../../base/moving-rate.ts";

/** Milliseconds between two samples of the rate. */
const SAMPLE_INTERVAL_MS = 100;

/** The progress of all uploads together. */
export interface PaceProgress {
  /** Bytes. */
  readonly sent: number;
  /** Bytes. */
  readonly total: number;
  /** Bytes per second. */
  readonly rate: number;
  /** Seconds. */
  readonly remaining: number;
}

interface PaceOptions extends UIPluginOptions {
  readonly format: (progress: PaceProgress) => string;
}

/**
 * Shows the progress and rate of uploads. The Dashboard shows no rate, and its estimates during the
 * first seconds are in hours.
 */
export class Pace<M extends Meta, B extends Body> extends UIPlugin<PaceOptions, M, B> {
  readonly #rate = new MovingRate();
  #total = 0;
  #sampledAt = 0;
  #progress: PaceProgress | null = null;

  constructor(uppy: Uppy<M, B>, options: PaceOptions) {
    super(uppy, options);
    this.id = "Pace";
    // the Dashboard mounts plugins of this type beside its own progress bar
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
    if (!isSending || this.#progress === null) return null;
    return h("div", { class: "pace" }, this.opts.format(this.#progress));
  }

  readonly #measure = (): void => {
    const files = this.uppy.getFiles();
    const sent = files.reduce((sum, { progress }) => sum + (progress.bytesUploaded || 0), 0);
    const total = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
    const now = Date.now();
    if (total === this.#total && now - this.#sampledAt < SAMPLE_INTERVAL_MS) return;
    // files that were added or removed change both sums at once
    if (total !== this.#total) this.#rate.restart();
    this.#total = total;
    this.#sampledAt = now;
    const rate = this.#rate.sample(sent, now);
    this.#progress = rate === null || rate === 0 ? null : { sent, total, rate, remaining: (total - sent) / rate };
  };
}
