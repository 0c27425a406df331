import { FixityError } from "../core/errors.ts";

/** Milliseconds for which an answer of the store holds, so that asking costs the same however many ask. */
const HOLDS = 1000;
/** Milliseconds that the store has to answer. */
const PATIENCE = 3000;

/** Whether the store can be used: whether it can do in small what every upload does. */
export class Health {
  readonly #check: () => Promise<void>;
  #answer: Promise<void> | null = null;

  constructor(check: () => Promise<void>) {
    this.#check = check;
  }

  /** @throws FixityError `store-unavailable`, with the reason as its cause */
  async confirm(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`no answer in ${PATIENCE} ms`)), PATIENCE);
    try {
      this.#answer ??= this.#ask();
      await Promise.race([this.#answer, late.promise]);
    } catch (cause) {
      throw new FixityError("store-unavailable", "The store cannot be used at present.", { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(): Promise<void> {
    try {
      await this.#check();
    } finally {
      setTimeout(() => (this.#answer = null), HOLDS).unref();
    }
  }
}
