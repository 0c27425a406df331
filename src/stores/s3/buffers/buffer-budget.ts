import { FixityError } from "../../../core/errors.ts";

/** How much may be held, and how long a queue may grow. */
export interface BudgetLimits {
  /** Bytes, all holders together. */
  readonly bytes: number;
  /** Holders that may wait; the next one is refused. */
  readonly queue: number;
}

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * Bytes that may be held at once, lent in the order in which they were asked for: nobody overtakes, so nobody starves.
 *
 * There is no deadlock as long as who waits here holds nothing that is lent here, or only what comes back by itself (a part
 * that is on its way to S3).
 */
export class MemoryBudget {
  readonly #limits: BudgetLimits;
  readonly #waiters = new Set<Waiter>();
  #lent = 0;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  /** Bytes lent. */
  get lent(): number {
    return this.#lent;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * Lends `bytes`, which must not be more than there are in all; waits until they are free.
   *
   * @throws FixityError `store-busy` where too many wait already; the reason of `signal` where it is aborted meanwhile
   */
  async take(bytes: number, signal?: AbortSignal): Promise<Loan> {
    signal?.throwIfAborted();
    if (this.#waiters.size === 0 && this.#fits(bytes)) {
      this.#lent += bytes;
    } else if (this.#waiters.size < this.#limits.queue) {
      await this.#turn(bytes, signal);
    } else {
      throw new FixityError("store-busy", "More uploads are coming in than can be taken now. Try again soon.");
    }
    return new Loan(() => this.#takeBack(bytes));
  }

  #fits(bytes: number): boolean {
    return this.#lent + bytes <= this.#limits.bytes;
  }

  #takeBack(bytes: number): void {
    this.#lent -= bytes;
    this.#serve();
  }

  async #turn(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { bytes, grant: resolve };
    const leave = () => {
      this.#waiters.delete(waiter);
      reject(signal?.reason as Error);
      this.#serve();
    };
    this.#waiters.add(waiter);
    signal?.addEventListener("abort", leave, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) return;
      this.#waiters.delete(waiter);
      this.#lent += waiter.bytes;
      waiter.grant();
    }
  }
}

/** Bytes that were lent. */
export class Loan {
  #giveBack: (() => void) | null;

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack;
  }

  /** Gives them back; a second time does nothing. */
  end(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = null;
    giveBack?.();
  }
}
