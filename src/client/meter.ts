import { MovingRate } from "../base/moving-rate.ts";
import type { RetryWait, UploadPhase, UploadProgress } from "./types.ts";

/** Milliseconds between two reports. */
const REPORT_INTERVAL_MS = 100;

/** Turns byte counts of one upload into progress reports. */
export class Meter {
  readonly #onProgress: ((progress: UploadProgress) => void) | undefined;
  readonly #rate = new MovingRate();
  #total: number | null;
  #phase: UploadPhase | null = null;
  /** Bytes sent, as last reported. */
  #position = 0;
  #reportedAt = 0;
  #sent = 0;
  #delayedReport: ReturnType<typeof setTimeout> | undefined;

  /** @param total bytes of the file; `null` for a stream */
  constructor(total: number | null, onProgress: ((progress: UploadProgress) => void) | undefined) {
    this.#total = total;
    this.#onProgress = onProgress;
  }

  /** The number of bytes sent so far. Bytes that were sent twice count twice. */
  get sent(): number {
    return this.#sent;
  }

  set total(total: number) {
    this.#total = total;
  }

  /** Reports that the file is being prepared. */
  preparing(): void {
    this.#report("preparing", 0);
  }

  /** Reports how many bytes have been hashed, while nothing is sent. */
  hashed(bytes: number): void {
    this.#report("hashing", bytes);
  }

  /** Reports the bytes that the server has acknowledged, plus those sent since. */
  reached(offset: number): void {
    this.#position = offset;
    this.#report(offset === this.#total ? "storing" : "sending", offset);
  }

  /** Reports that the upload waits for its next attempt, or with `null`, that the wait is over. */
  waiting(wait: RetryWait | null): void {
    if (wait === null) this.reached(this.#position);
    else this.#report("waiting", this.#position, wait);
  }

  /** Counts the bytes that one request sends from an offset; for `WireRequest.onSent`. */
  counter(offset: number): (bytes: number) => void {
    let before = 0;
    return (bytes) => {
      this.#sent += bytes - before;
      before = bytes;
      this.reached(offset + bytes);
    };
  }

  /** Ends the reports. */
  end(): void {
    clearTimeout(this.#delayedReport);
  }

  #report(phase: UploadPhase, bytes: number, wait: RetryWait | null = null): void {
    if (this.#onProgress === undefined) return;
    const now = Date.now();
    const isNewPhase = phase !== this.#phase;
    // hashing and sending have different rates
    if (isNewPhase && phase !== "storing") this.#rate.restart();
    this.#phase = phase;
    clearTimeout(this.#delayedReport);
    if (!isNewPhase && now - this.#reportedAt < REPORT_INTERVAL_MS) {
      // the last count before a standstill must be reported, too
      this.#delayedReport = setTimeout(() => this.#report(phase, bytes), REPORT_INTERVAL_MS);
      return;
    }
    this.#reportedAt = now;
    const rate = wait === null ? this.#rate.sample(bytes, now) : null;
    const total = this.#total;
    const remaining = rate === null || rate === 0 || total === null ? null : (total - bytes) / rate;
    try {
      this.#onProgress({ phase, bytes, total, rate, remaining, wait });
    } catch (error) {
      // an error of the listener must not look like a failure of the running request
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
