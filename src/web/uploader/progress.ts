import { type Body, type Meta, UIPlugin, type UIPluginOptions, type Uppy, type UppyFile } from "@uppy/core";
import { type ComponentChild, h } from "@uppy/core/utils/preact";
import { MovingRate } from "../../base/moving-rate.ts";
import type { RetryWait } from "../../client.ts";
import { announce } from "../dom.ts";
import { formatDuration, formatSize } from "../format.ts";
import { fill, type Language } from "../text/language.ts";

/** Milliseconds between two samples of the rate. */
const SAMPLE_INTERVAL_MS = 100;
/** Milliseconds between two updates of a countdown. */
const COUNTDOWN_INTERVAL_MS = 500;
/** Delays before the first attempts are shorter than this, and would only flicker. */
const SHOWN_WAIT_MIN_MS = 1200;

interface ProgressOptions extends UIPluginOptions {
  readonly language: Language;
}

/** A failed request whose next attempt has not begun. */
interface Waiting {
  readonly wait: RetryWait;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/**
 * The progress of all uploads together: in the Dashboard's status bar, with the rate or the reason
 * why nothing is sent, and in the title of the tab. The Dashboard shows no rate, its estimates
 * during the first seconds are in hours, and it takes a dead network for a slow one.
 */
export class Progress<M extends Meta, B extends Body> extends UIPlugin<ProgressOptions, M, B> {
  readonly #rate = new MovingRate();
  readonly #waiting = new Map<string, Waiting>();
  readonly #title = document.title;
  #total = 0;
  #sampledAt = 0;
  /** When bytes were last sent. */
  #movedAt = 0;
  #text: string | null = null;
  #isWaitShown = false;
  #countdown = 0;

  constructor(uppy: Uppy<M, B>, options: ProgressOptions) {
    super(uppy, options);
    this.id = "Progress";
    // the Dashboard mounts plugins of this type beside its own progress bar
    this.type = "progressindicator";
  }

  override install(): void {
    this.uppy.on("upload-progress", (file) => {
      if (file !== undefined) this.#waiting.delete(file.id);
      this.#movedAt = Date.now();
      this.#measure();
    });
    this.uppy.on("fixity-waiting", (file, wait) => this.#wait(file, wait));
    for (const event of ["upload-success", "upload-error"] as const) {
      this.uppy.on(event, (file?: UppyFile<M, B>) => this.#settle(file));
    }
    this.uppy.on("file-removed", (file) => this.#settle(file));
    this.uppy.on("complete", () => this.#showTitle());
    document.addEventListener("visibilitychange", () => this.#showTitle());
    if (this.opts.target !== undefined) this.mount(this.opts.target, this);
  }

  /** Whether nothing is sent, because of the network or the server. */
  get isWaiting(): boolean {
    return this.#isWaitShown;
  }

  /** How many of the files are uploaded: `Uploading: 103 of 200`. */
  get count(): string {
    const files = this.uppy.getFiles();
    const done = files.filter(({ progress }) => progress.uploadComplete).length;
    return fill(this.opts.language.texts.uploadingOf, { done, count: files.length });
  }

  override render(): ComponentChild {
    if (this.#text === null || !this.#isSending) return null;
    return h("div", { class: this.#isWaitShown ? "pace waiting" : "pace" }, this.#text);
  }

  get #isSending(): boolean {
    return this.uppy.getFiles().some(isSending);
  }

  #measure(): void {
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
    const { language } = this.opts;
    this.#isWaitShown = false;
    this.#text =
      rate === null || rate === 0
        ? null
        : fill(language.texts.progress, {
            sent: formatSize(sent, language),
            total: formatSize(total, language),
            rate: formatSize(rate, language),
            time: formatDuration((total - sent) / rate, language),
          });
    this.#showTitle();
  }

  #wait(file: UppyFile<M, B> | undefined, wait: RetryWait | null): void {
    // without a wait an attempt has begun, which fails or sends bytes
    if (file === undefined || wait === null) return;
    const { since = Date.now() } = this.#waiting.get(file.id) ?? {};
    this.#waiting.set(file.id, { wait, since });
    clearInterval(this.#countdown);
    this.#countdown = window.setInterval(() => this.#showWait(), COUNTDOWN_INTERVAL_MS);
    this.#showWait();
  }

  #settle(file: UppyFile<M, B> | undefined): void {
    this.#waiting.delete(file?.id ?? "");
    if (this.#waiting.size === 0 && this.#isWaitShown) this.#showWait();
  }

  /** Shows why nothing is sent, once that has lasted for a moment. */
  #showWait(): void {
    const waits = [...this.#waiting.values()];
    const [first] = waits.toSorted((a, b) => (a.wait.until ?? 0) - (b.wait.until ?? 0));
    if (first === undefined || !this.#isSending) {
      clearInterval(this.#countdown);
      this.#countdown = 0;
      this.#isWaitShown = false;
      this.#text = null;
    } else {
      const now = Date.now();
      const isLong =
        first.wait.until === null || now - Math.min(...waits.map(({ since }) => since)) >= SHOWN_WAIT_MIN_MS;
      if (!isLong || now - this.#movedAt < SHOWN_WAIT_MIN_MS) return;
      this.#rate.restart();
      this.#text = this.#waitText(first.wait, now);
      if (!this.#isWaitShown) announce(this.#text);
      this.#isWaitShown = true;
    }
    this.#showTitle();
    this.uppy.setState({});
  }

  #waitText({ reason, until }: RetryWait, now: number): string {
    const { language } = this.opts;
    const { texts } = language;
    if (until === null) return texts.waitOffline;
    const time = formatDuration(Math.max(0, Math.ceil((until - now) / 1000)), language);
    return fill(reason === "unreachable" || reason === "offline" ? texts.waitUnreachable : texts.waitBusy, { time });
  }

  /** `42% – a.zip – fixity`, for those who look at another tab meanwhile. */
  #showTitle(): void {
    const files = this.uppy.getFiles();
    if (!files.some(isSending)) {
      document.title = this.#title;
      return;
    }
    const sent = files.reduce((sum, { progress }) => sum + (progress.bytesUploaded || 0), 0);
    const percent = this.#total === 0 ? 0 : sent / this.#total;
    const { locale, texts } = this.opts.language;
    const share = new Intl.NumberFormat(locale, { style: "percent" }).format(percent);
    const what = files.length === 1 ? (files[0]?.name ?? "") : this.count;
    document.title = [this.#isWaitShown ? texts.waiting : share, what, "fixity"].join(" – ");
  }
}

function isSending({ progress, isPaused, error }: UppyFile<Meta, Body>): boolean {
  return Boolean(progress.uploadStarted) && !progress.uploadComplete && isPaused !== true && error == null;
}
