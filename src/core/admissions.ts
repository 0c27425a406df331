import { FixityError } from "./errors.ts";

/** The time that interrupted uploads have to save their bytes and clean up. */
export const SAVE_TIMEOUT_MS = 10_000;

/**
 * When work is interrupted once the service is closing:
 *
 * - `at-once`: immediately, because it can be continued later.
 * - `in-time`: when the time to finish is up.
 */
export type Ending = "at-once" | "in-time";

/** Options of `Fixity.close`. */
export interface CloseOptions {
  /**
   * Milliseconds that running plain uploads have to finish.
   *
   * @default 30000
   */
  readonly timeout?: number;
}

/** One piece of work that a service is doing. Disposing of the admission ends it. */
export class Admission implements Disposable {
  readonly #service: Admissions;
  #interrupted: FixityError | null = null;
  #listener: ((reason: FixityError) => void) | null = null;
  #ending: Ending;

  constructor(service: Admissions, ending: Ending) {
    this.#service = service;
    this.#ending = ending;
  }

  /** How the work ends when the service closes. */
  get ending(): Ending {
    return this.#ending;
  }

  /**
   * Sets the listener that is called, once, when the work must end; immediately if it already must.
   */
  onInterrupt(listener: (reason: FixityError) => void): void {
    this.#listener = listener;
    if (this.#interrupted !== null) listener(this.#interrupted);
  }

  /**
   * The work can be continued later from now on, so it is interrupted as soon as the service is
   * closing.
   */
  endAtOnce(listener: (reason: FixityError) => void): void {
    this.#ending = "at-once";
    this.onInterrupt(listener);
    if (this.#service.isClosing) this.interrupt();
  }

  /** Ends the work: calls its listener with `shutting-down`. Idempotent. */
  interrupt(): void {
    if (this.#interrupted !== null) return;
    this.#interrupted = shuttingDown();
    this.#listener?.(this.#interrupted);
  }

  [Symbol.dispose](): void {
    this.#listener = null;
    this.#service.leave(this);
  }
}

/** All running work of a service, which `close` interrupts and waits for. */
export class Admissions {
  readonly #running = new Set<Admission>();
  #closed: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;

  /** New work is refused. */
  get isClosing(): boolean {
    return this.#closed !== null;
  }

  /** @throws FixityError `shutting-down` */
  admit(ending: Ending): Admission {
    this.assertOpen();
    const admission = new Admission(this, ending);
    this.#running.add(admission);
    return admission;
  }

  /** @throws FixityError `shutting-down` */
  assertOpen(): void {
    if (this.isClosing) throw shuttingDown();
  }

  /** Called by a disposed admission. */
  leave(admission: Admission): void {
    this.#running.delete(admission);
    if (this.#running.size === 0) this.#onIdle?.();
  }

  /**
   * Refuses new work and resolves when all running work has ended: by itself within `timeout`
   * milliseconds, or interrupted. Later calls wait for the first one.
   *
   * @throws FixityError `store-unavailable` if work is still running 10 s after it was interrupted
   */
  close(timeout: number): Promise<void> {
    // A microtask later, so that listeners of an interruption already see the service closing.
    this.#closed ??= Promise.resolve().then(() => this.#end(timeout));
    return this.#closed;
  }

  async #end(timeout: number): Promise<void> {
    this.#interrupt("at-once");
    if (await this.#isIdleWithin(timeout)) return;
    this.#interrupt("in-time");
    if (await this.#isIdleWithin(SAVE_TIMEOUT_MS)) return;
    throw new FixityError(
      "store-unavailable",
      `${this.#running.size} uploads were still running ${SAVE_TIMEOUT_MS / 1000} s after they were interrupted. ` +
        "Their unsaved bytes are lost. Check whether the store responds.",
    );
  }

  #interrupt(ending: Ending): void {
    for (const admission of this.#running) if (admission.ending === ending) admission.interrupt();
  }

  #isIdleWithin(timeout: number): Promise<boolean> {
    if (this.#running.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeout);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

/** @param offset the durable bytes of the interrupted upload, if known */
export function shuttingDown(offset?: number, cause?: unknown): FixityError {
  return new FixityError("shutting-down", "The server is stopping. Try again in a moment.", {
    ...(offset !== undefined && { facts: { "upload-offset": offset } }),
    ...(cause !== undefined && { cause }),
  });
}

/** A signal that is aborted when the closing service interrupts the work, or by `signal`. */
export function stoppedBy(admission: Admission, signal?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  admission.onInterrupt((reason) => controller.abort(reason));
  return signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
}
