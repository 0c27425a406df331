/** Permits that were acquired together. Releasing them twice does no harm. */
export interface Permit extends Disposable {
  release(): void;
}

interface Waiter {
  readonly count: number;
  readonly grant: (permit: Permit) => void;
}

/**
 * A counting semaphore. Waiters are served first come, first served: a large request is not
 * overtaken by smaller ones, so none starves.
 */
export class Semaphore {
  readonly permits: number;
  #free: number;
  readonly #waiters = new Set<Waiter>();

  constructor(permits: number) {
    this.permits = permits;
    this.#free = permits;
  }

  /** Permits that are held. */
  get held(): number {
    return this.permits - this.#free;
  }

  /** Callers that wait for a permit. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Whether {@link acquire} would resolve without waiting. */
  canAcquire(count = 1): boolean {
    return this.#waiters.size === 0 && count <= this.#free;
  }

  /**
   * Waits for `count` permits, which must not be more than there are.
   *
   * @throws the signal's reason if it is aborted first
   */
  async acquire(count = 1, signal?: AbortSignal): Promise<Permit> {
    signal?.throwIfAborted();
    if (this.canAcquire(count)) return this.#grant(count);
    const { promise, resolve, reject } = Promise.withResolvers<Permit>();
    const waiter: Waiter = { count, grant: resolve };
    const leave = (): void => {
      if (!this.#waiters.delete(waiter)) return;
      reject(signal?.reason as Error);
      this.#serve();
    };
    this.#waiters.add(waiter);
    signal?.addEventListener("abort", leave, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  /** Runs `work` while it holds one permit. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    using _ = await this.acquire(1, signal);
    return await work();
  }

  #grant(count: number): Permit {
    let isHeld = true;
    this.#free -= count;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      this.#free += count;
      this.#serve();
    };
    return { release, [Symbol.dispose]: release };
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      if (waiter.count > this.#free) return;
      this.#waiters.delete(waiter);
      waiter.grant(this.#grant(waiter.count));
    }
  }
}
