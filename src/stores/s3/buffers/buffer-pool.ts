import { type Permit, Semaphore } from "../../../base/semaphore.ts";
import { FixityError } from "../../../core/errors.ts";

/**
 * Bytes that an admitted upload may hold from its beginning to its end. A small file needs no more,
 * so it never waits behind a large one; a large file holds no more than this while it waits for its
 * first buffer.
 */
export const ADMISSION_BYTES: number = 64 * 1024;

/** The share of the budget that is kept for admissions; the rest is for buffers. */
const ADMISSIONS_SHARE = 1 / 4;

/** How memory is shared between uploads. */
export interface BufferPoolLimits {
  /** Bytes for all uploads together. */
  readonly budget: number;
  /** Uploads that may wait for admission before the next one is refused. */
  readonly queue: number;
  /**
   * Bytes per second below which a sender is dropped while other uploads wait for the memory it
   * holds.
   */
  readonly minRate: number;
  /** Milliseconds over which a sender's rate is measured. */
  readonly window: number;
}

/**
 * The memory of all uploads of a store: an admission for each upload, and a buffer of one part for
 * each upload whose file is larger than that.
 *
 * There is no deadlock. An upload that waits for admission holds nothing; an upload that waits for
 * a buffer holds an admission, for which no holder of a buffer waits. A buffer is released when its
 * part has been sent, or has failed.
 */
export class BufferPool {
  /**
   * Bytes of the largest buffer: half of what there is, so that two uploads make progress at once.
   */
  readonly maxBufferBytes: number;
  readonly #limits: BufferPoolLimits;
  readonly #admissions: Semaphore;
  /** Its queue is unbounded, but each waiter has an admission, so their number is. */
  readonly #buffers: Semaphore;
  readonly #admitted = new Set<Admission>();
  #rateTimer: NodeJS.Timeout | null = null;

  constructor(limits: BufferPoolLimits) {
    const admissionBytes = Math.floor(limits.budget * ADMISSIONS_SHARE);
    const bufferBytes = limits.budget - admissionBytes;
    this.#limits = limits;
    this.#admissions = new Semaphore(admissionBytes);
    this.#buffers = new Semaphore(bufferBytes);
    this.maxBufferBytes = Math.floor(bufferBytes / 2);
  }

  /** For metrics. */
  get usage(): { readonly used: number; readonly budget: number; readonly waiting: number } {
    return { used: this.used, budget: this.#limits.budget, waiting: this.#waiting };
  }

  /** Bytes in use. */
  get used(): number {
    return this.#admissions.held + this.#buffers.held;
  }

  /**
   * Admits an upload, after those that came before it.
   *
   * @param length bytes that will arrive, if announced
   * @throws FixityError `store-busy` if too many uploads wait already
   * @throws the signal's reason
   */
  async admit(length: number | undefined, signal: AbortSignal | undefined): Promise<Admission> {
    signal?.throwIfAborted();
    const bytes = Math.min(length ?? ADMISSION_BYTES, ADMISSION_BYTES);
    if (!this.#admissions.canAcquire(bytes) && this.#admissions.waiting >= this.#limits.queue) {
      throw new FixityError("store-busy", "Too many uploads are waiting for memory. Try again soon.");
    }
    const permit = await this.#watched(this.#admissions.acquire(bytes, signal));
    const admission: Admission = new Admission(
      permit,
      async (size, signal) => this.#watched(this.#buffers.acquire(size, signal)),
      () => this.#admitted.delete(admission),
    );
    this.#admitted.add(admission);
    return admission;
  }

  get #waiting(): number {
    return this.#buffers.waiting + this.#admissions.waiting;
  }

  /** Rates are measured for as long as any upload waits. */
  async #watched<T>(acquiring: Promise<T>): Promise<T> {
    if (this.#rateTimer === null && this.#waiting > 0) {
      for (const admission of this.#admitted) admission.startWindow();
      this.#rateTimer = setInterval(() => this.#dropSlowest(), this.#limits.window);
      this.#rateTimer.unref();
    }
    return acquiring;
  }

  /** At most one sender is dropped per window: its memory may be enough. */
  #dropSlowest(): void {
    if (this.#waiting === 0) {
      if (this.#rateTimer !== null) clearInterval(this.#rateTimer);
      this.#rateTimer = null;
      return;
    }
    const holdsWhatIsMissing = (admission: Admission) => this.#buffers.waiting === 0 || admission.holdsBuffer;
    const minBytes = (this.#limits.minRate * this.#limits.window) / 1000;
    let slowest: Admission | null = null;
    for (const admission of this.#admitted) {
      const received = admission.startWindow();
      if (received === null || received >= minBytes || !holdsWhatIsMissing(admission)) continue;
      if (slowest === null || received < slowest.lastWindowBytes) slowest = admission;
    }
    slowest?.onTooSlow?.();
  }
}

/**
 * One upload's place in the pool. It measures the sender's rate, because a slow sender keeps memory
 * from others.
 */
export class Admission {
  /**
   * Called once per window in which the sender is the slowest; the upload must then release all
   * that it holds.
   */
  onTooSlow: (() => void) | null = null;
  /** Whether a buffer is being filled. */
  holdsBuffer = false;
  /** Bytes received in the last full window. */
  lastWindowBytes = 0;
  readonly #permit: Permit;
  readonly #acquireBuffer: (bytes: number, signal: AbortSignal | undefined) => Promise<Permit>;
  readonly #onRelease: () => void;
  #received = 0;
  /**
   * `performance.now()` from when on the sender's silence counts; `null` while the store keeps the
   * sender waiting.
   */
  #countsFrom: number | null = performance.now();
  #busySince = performance.now();
  /** Whether the sender could have sent during the whole of the current window so far. */
  #isWindowValid = false;

  constructor(
    permit: Permit,
    acquireBuffer: (bytes: number, signal: AbortSignal | undefined) => Promise<Permit>,
    onRelease: () => void,
  ) {
    this.#permit = permit;
    this.#acquireBuffer = acquireBuffer;
    this.#onRelease = onRelease;
  }

  /** Counts bytes that the sender has sent. */
  countReceived(bytes: number): void {
    this.#received += bytes;
  }

  /**
   * `true` while the store keeps the sender waiting, `false` while it waits for the sender. After a
   * wait, the sender is excused for as long again: TCP probes a closed window less and less often,
   * so the sender resumes late.
   */
  set busy(busy: boolean) {
    const now = performance.now();
    if (busy) this.#busySince = now;
    this.#countsFrom = busy ? null : now + (now - this.#busySince);
    this.#isWindowValid = false;
  }

  /** Waits for the memory of a part. */
  async acquireBuffer(bytes: number, signal: AbortSignal | undefined): Promise<Permit> {
    return this.#acquireBuffer(bytes, signal);
  }

  /**
   * Starts a window. Returns the bytes received in the one before, or `null` if the sender had to
   * wait during it.
   */
  startWindow(): number | null {
    const wasValid = this.#isWindowValid;
    this.lastWindowBytes = this.#received;
    this.#received = 0;
    this.#isWindowValid = this.#countsFrom !== null && performance.now() >= this.#countsFrom;
    return wasValid ? this.lastWindowBytes : null;
  }

  /** Releases the admission; releasing it twice does no harm. */
  release(): void {
    this.#onRelease();
    this.#permit.release();
  }
}
