import { abortRace } from "../base/abort-race.ts";
import { FixityError } from "../core/errors.ts";

/** How long the result of one check is reused, so that frequent probes cost nothing. */
const ANSWER_MAX_AGE_MS = 1000;
/** How long the store may take to answer. */
const CHECK_TIMEOUT_MS = 3000;

/** Checks whether the store is usable, by the operations of an upload on a small scale. */
export class Health {
  readonly #check: () => Promise<void>;
  #answer: Promise<void> | null = null;

  constructor(check: () => Promise<void>) {
    this.#check = check;
  }

  /** @throws FixityError `store-unavailable`, with the reason as its cause */
  async confirm(): Promise<void> {
    try {
      this.#answer ??= this.#startCheck();
      await abortRace(this.#answer, AbortSignal.timeout(CHECK_TIMEOUT_MS));
    } catch (cause) {
      throw new FixityError("store-unavailable", "The store cannot be used at present.", { cause });
    }
  }

  async #startCheck(): Promise<void> {
    try {
      await this.#check();
    } finally {
      setTimeout(() => (this.#answer = null), ANSWER_MAX_AGE_MS).unref();
    }
  }
}
