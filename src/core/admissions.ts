import { FixityError } from "./errors.ts";

/** Milliseconds that uploads get, once they have been interrupted, to save what they have and to clean up. */
export const SAVE_TIMEOUT_MS = 10_000;

/**
 * When work is interrupted, once the service is being closed:
 *
 * - `at-once`: immediately, because it can be continued later.
 * - `in-time`: when the time to finish is over.
 */
export type Ending = "at-once" | "in-time";

/** A place among the running work of a service. The work has ended when it is disposed of. */
export class Admission implements Disposable {
  readonly #service: Admissions;
  #interrupted: FixityError | null = null;
  #listener: ((reason: FixityError) => void) | null = null;
  #ending: Ending;

  constructor(service: Admissions, ending: Ending) {
    this.#service = service;
    this.#ending = ending;
  }

  get ending(): Ending {
    return this.#ending;
  }

  /** Sets what is called, once, when the work has to end; at once where it has to already. */
  onInterrupt(listener: (reason: FixityError) => void): void {
    this.#listener = listener;
    if (this.#interrupted !== null) listener(this.#interrupted);
  }

  /** From now on the work can be continued later: the listener is called as soon as the service is being closed. */
  endAtOnce(listener: (reason: FixityError) => void): void {
    this.#ending = "at-once";
    this.onInterrupt(listener);
    if (this.#service.isClosing) this.interrupt();
  }

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

/** All running work of a service: what `close` interrupts, and waits for. */
export class Admissions {
  readonly #running = new Set<Admission>();
  #closed: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;

  /** No new work is admitted. */
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

  /** For an admission that is disposed of. */
  leave(admission: Admission): void {
    this.#running.delete(admission);
    if (this.#running.size === 0) this.#onIdle?.();
  }

  /**
   * Refuses new work, and resolves when all running work has ended: by itself within `timeout` milliseconds, or by being
   * interrupted. Later calls wait for the first one.
   *
   * @throws FixityError `store-unavailable` where work is still running {@link SAVE_TIMEOUT_MS} after it was interrupted
   */
  close(timeout: number): Promise<void> {
    // A microtask later: whatever an interruption sets off must find the service closing.
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
      `${this.#running.size} uploads had not ended ${SAVE_TIMEOUT_MS / 1000} s after they were interrupted. ` +
        "What they had not saved is lost: see whether the store answers.",
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

/** @param offset durable bytes of the upload that was interrupted, where they are known */
export function shuttingDown(offset?: number, cause?: unknown): FixityError {
  return new FixityError("shutting-down", "The server is stopping. Try again in a moment.", {
    ...(offset !== undefined && { facts: { "upload-offset": offset } }),
    ...(cause !== undefined && { cause }),
  });
}

/** Aborted when the work has to end because the service is being closed, or by `signal`. */
export function stoppedBy(admission: Admission, signal?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  admission.onInterrupt((reason) => controller.abort(reason));
  return signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
}
