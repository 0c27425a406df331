import type { DigestJob } from "./upload-digest.ts";
import type { Advice, Rates } from "./rates.ts";

/** Judges, with what is known of hashing and sending by now, whether a digest is worth waiting for, or even computing. */
export class DigestJudge {
  readonly #digest: DigestJob;
  readonly #rates: Rates;
  /** It is computed even where that takes longer than sending. */
  mustDeclare: boolean;

  constructor(digest: DigestJob, rates: Rates, mustDeclare: boolean) {
    this.#digest = digest;
    this.#rates = rates;
    this.mustDeclare = mustDeclare;
  }

  /**
   * What to do when the bytes stand at an offset. A digest that comes too late is given up with it.
   *
   * @param total `null` of a stream: nobody knows how much there is to hash, and that costs nothing
   */
  adviceAt(offset: number, total: number | null): Exclude<Advice, "give-up"> {
    const { isPending, hashed, elapsed } = this.#digest;
    if (!isPending || total === null || hashed === 0) return "go-on";
    this.#rates.isHashing(hashed, elapsed);
    const advice = this.#rates.advice({ toHash: total - hashed, toSend: total - offset });
    if (advice !== "give-up") return advice;
    if (!this.mustDeclare) this.#digest.giveUp();
    return "go-on";
  }
}
