import { type Loan, MemoryBudget } from "./buffer-budget.ts";

/**
 * Bytes that every upload may hold from its beginning to its end. Small files need no more, so that they never wait behind
 * large ones; a large one waits for its part with no more than this in its hands.
 */
export const SEAT: number = 64 * 1024;

/** Of the budget, what is kept for seats; the rest is for parts. */
const SEATS_SHARE = 1 / 4;

/** How memory is shared between uploads. */
export interface MemoryLimits {
  /** Bytes for all uploads. */
  readonly budget: number;
  /** Uploads that may wait for a seat. */
  readonly queue: number;
  /** Bytes a second. Who sends less is ended, while others wait for what he holds. */
  readonly minRate: number;
  /** Milliseconds over which a rate is measured. */
  readonly window: number;
}

/**
 * The memory of all uploads: a seat for each, and part buffers for those whose files are larger.
 *
 * There is no deadlock: who waits for a seat holds nothing, and who waits for a part buffer holds a seat, which no holder
 * of a part buffer waits for. A part buffer comes back when its part has been sent, or has failed to be.
 */
export class UploadMemory {
  readonly #seats: MemoryBudget;
  readonly #parts: MemoryBudget;
  readonly #limits: MemoryLimits;
  readonly #taken = new Set<Seat>();
  /** Largest part that can be held; half of what there is, so that two uploads can go on at once. */
  readonly largestPart: number;
  #watch: NodeJS.Timeout | null = null;

  constructor(limits: MemoryLimits) {
    const forSeats = Math.floor(limits.budget * SEATS_SHARE);
    const forParts = limits.budget - forSeats;
    this.#limits = limits;
    this.#seats = new MemoryBudget({ bytes: forSeats, queue: limits.queue });
    // Whoever waits here has a seat, so this queue is bounded by their number.
    this.#parts = new MemoryBudget({ bytes: forParts, queue: Infinity });
    this.largestPart = Math.floor(forParts / 2);
  }

  /** Bytes lent. */
  get lent(): number {
    return this.#seats.lent + this.#parts.lent;
  }

  /**
   * Takes up an upload.
   *
   * @param length bytes that will come, where that is known
   * @throws FixityError `store-busy`
   */
  async admit(length: number | undefined, signal: AbortSignal | undefined): Promise<Seat> {
    const loan = await this.#waitingFor(this.#seats.take(Math.min(length ?? SEAT, SEAT), signal));
    const seat = new Seat({
      loan,
      takePart: async (bytes, signal) => this.#waitingFor(this.#parts.take(bytes, signal)),
      leave: () => this.#taken.delete(seat),
    });
    this.#taken.add(seat);
    return seat;
  }

  /** Somebody may have to wait: senders are watched for as long as anybody does. */
  async #waitingFor<T>(taking: Promise<T>): Promise<T> {
    if (this.#watch === null && this.#parts.waiting + this.#seats.waiting > 0) {
      for (const seat of this.#taken) seat.beginWindow();
      this.#watch = setInterval(() => this.#endSlowest(), this.#limits.window);
      this.#watch.unref();
    }
    return taking;
  }

  #endSlowest(): void {
    if (this.#parts.waiting + this.#seats.waiting === 0) {
      if (this.#watch !== null) clearInterval(this.#watch);
      this.#watch = null;
      return;
    }
    const holdsWhatIsMissed = (seat: Seat) => this.#parts.waiting === 0 || seat.holdsPart;
    const least = (this.#limits.minRate * this.#limits.window) / 1000;
    let slowest: Seat | null = null;
    for (const seat of this.#taken) {
      const received = seat.beginWindow();
      if (received === null || received >= least || !holdsWhatIsMissed(seat)) continue;
      if (slowest === null || received < slowest.lastWindow) slowest = seat;
    }
    slowest?.end();
  }
}

interface SeatParts {
  readonly loan: Loan;
  readonly takePart: (bytes: number, signal: AbortSignal | undefined) => Promise<Loan>;
  readonly leave: () => void;
}

/** The place of one upload in memory. */
export class Seat {
  readonly #parts: SeatParts;
  /** Called when the sender is too slow; it has to give back all it has. */
  onEnd: (() => void) | null = null;
  /** A part buffer is being filled. */
  holdsPart = false;
  /** Bytes received in the window before. */
  lastWindow = 0;
  #received = 0;
  /** Until when the sender could not have sent all of the time, by `performance.now()`; `null`: as long as we are busy. */
  #excusedUntil: number | null = performance.now();
  #busySince = performance.now();
  #begun = false;

  constructor(parts: SeatParts) {
    this.#parts = parts;
  }

  /** Bytes have come in. */
  receive(bytes: number): void {
    this.#received += bytes;
  }

  /**
   * The sender is waited for (`false`), or waits for us (`true`). Who was kept waiting needs about as long to be back at
   * its pace: TCP asks less and less often whether there is room again.
   */
  set busy(busy: boolean) {
    const now = performance.now();
    if (busy) this.#busySince = now;
    this.#excusedUntil = busy ? null : now + (now - this.#busySince);
    this.#begun = false;
  }

  /** Waits for the memory of a part. */
  async takePart(bytes: number, signal: AbortSignal | undefined): Promise<Loan> {
    return this.#parts.takePart(bytes, signal);
  }

  /** Bytes received since the last call; `null` where the sender could not have sent all of that time. */
  beginWindow(): number | null {
    const isMeasured = this.#begun;
    this.lastWindow = this.#received;
    this.#received = 0;
    this.#begun = this.#excusedUntil !== null && performance.now() >= this.#excusedUntil;
    return isMeasured ? this.lastWindow : null;
  }

  end(): void {
    this.onEnd?.();
  }

  /** Gives the seat back; a second time does nothing. */
  leave(): void {
    this.#parts.leave();
    this.#parts.loan.end();
  }
}
