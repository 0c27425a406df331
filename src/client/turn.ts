import type { Permit, Semaphore } from "../base/semaphore.ts";

/** The place of one upload among those that a client sends at the same time. */
export class Turn {
  readonly #semaphore: Semaphore;
  #permit: Promise<Permit> | null = null;

  constructor(semaphore: Semaphore) {
    this.#semaphore = semaphore;
  }

  /** Resolves when the upload may send. Idempotent. */
  async take(): Promise<void> {
    this.#permit ??= this.#semaphore.acquire();
    await this.#permit;
  }

  /** Lets other uploads send, also if this one still waits for its turn. */
  leave(): void {
    void this.#permit?.then((permit) => permit.release());
    this.#permit = null;
  }
}
