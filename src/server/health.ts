import { abortRace } from "../base/abort-race.ts";
import { FixityError } from "../core/errors.ts";

/** How long one check of the store answers all probes, so that their number costs nothing. */
const ANSWER_MAX_AGE_MS = 1000;
/** How long the store may take to answer. */
const CHECK_TIMEOUT_MS = 3000;

/** Tells whether the store is usable: whether it can do in small what every upload does. */
export class Health {
  readonly #check: () => Promise<void>;
  #answer: Promise<void> | null = null;

  constructor(check: () => Promise<void>) {
    this.#check = check;
  }

  /** @throws FixityError `store-unavailable`, with the reason as its cause */
  async confirm(): Promise<void> {
    try {
      this.#answer ??= this.#ask();
      await abortRace(this.#answer, AbortSignal.timeout(CHECK_TIMEOUT_MS));
    } catch (cause) {
      throw new FixityError("store-unavailable", "The store cannot be used at present.", { cause });
    }
  }

  async #ask(): Promise<void> {
    try {
      await this.#check();
    } finally {
      setTimeout(() => (this.#answer = null), ANSWER_MAX_AGE_MS).unref();
    }
  }
}
