import type { UploadPhase, UploadProgress } from "./types.ts";

/** Milliseconds over which the rate is measured. */
const WINDOW = 5000;
/** Milliseconds between two reports. */
const PAUSE = 100;

/** What a {@link Meter} is told of. */
export interface MeterOptions {
  readonly onProgress: ((progress: UploadProgress) => void) | undefined;
  readonly total: number | null;
}

/** Makes progress reports of counts of bytes. */
export class Meter {
  readonly #onProgress: ((progress: UploadProgress) => void) | undefined;
  #total: number | null;
  #phase: UploadPhase | null = null;
  #bytes = 0;
  #reported = 0;
  /** When how many bytes were there, over the last seconds. */
  #marks: { readonly at: number; readonly bytes: number }[] = [];
  #sent = 0;
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor({ onProgress, total }: MeterOptions) {
    this.#onProgress = onProgress;
    this.#total = total;
  }

  /** Bytes that were sent, twice those that were sent twice. */
  get sent(): number {
    return this.#sent;
  }

  set total(total: number) {
    this.#total = total;
  }

  hashed(bytes: number): void {
    this.#report("hashing", bytes);
  }

  /** So many bytes are there, and the next request counts from them. */
  stands(offset: number): void {
    this.#report(offset === this.#total ? "storing" : "sending", offset);
  }

  /** Counts the bytes that one request sends, from an offset. For {@link WireRequest.onSent}. */
  counter(offset: number): (bytes: number) => void {
    let before = 0;
    return (bytes) => {
      this.#sent += bytes - before;
      before = bytes;
      this.stands(offset + bytes);
    };
  }

  /** Nothing more is told. */
  end(): void {
    clearTimeout(this.#late);
  }

  #report(phase: UploadPhase, bytes: number): void {
    if (this.#onProgress === undefined) return;
    const now = Date.now();
    const isNew = phase !== this.#phase;
    // what was hashed says nothing about sending; and after a break the bytes may stand further back than was sent
    if ((isNew && phase !== "storing") || bytes < this.#bytes) this.#marks = [];
    this.#phase = phase;
    this.#bytes = bytes;
    clearTimeout(this.#late);
    if (!isNew && now - this.#reported < PAUSE) {
      // where nothing more comes for a while, the last that came is told all the same
      this.#late = setTimeout(() => this.#report(phase, bytes), PAUSE);
      return;
    }
    this.#reported = now;
    this.#marks.push({ at: now, bytes });
    while ((this.#marks[0]?.at ?? now) < now - WINDOW) this.#marks.shift();
    const rate = this.#rate();
    const total = this.#total;
    const remaining = rate === null || rate === 0 || total === null ? null : (total - bytes) / rate;
    try {
      this.#onProgress({ phase, bytes, total, rate, remaining });
    } catch (error) {
      // a fault of the listener's is not one of the request that is under way
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #rate(): number | null {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.at - first.at < PAUSE) return null;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }
}
