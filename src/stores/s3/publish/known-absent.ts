import type { Digest } from "../../../core/digest.ts";

/** How long an absence is believed, in milliseconds, and how many are kept in mind. */
const BELIEVED_FOR = 60_000;
const MOST = 1_000;

/**
 * Digests that were looked for a moment ago and not found. An upload that announces its digest is preceded by such a look
 * (`confirm`), and need not pay for a second one before it is completed. Where somebody else was quicker, his blob is
 * replaced by the same bytes.
 */
export class KnownAbsent {
  readonly #seen = new Map<string, number>();

  note(digest: Digest): void {
    this.#seen.delete(digest.hex);
    this.#seen.set(digest.hex, performance.now());
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MOST && oldest !== undefined) this.#seen.delete(oldest);
  }

  has(digest: Digest): boolean {
    const since = this.#seen.get(digest.hex);
    return since !== undefined && performance.now() - since < BELIEVED_FOR;
  }

  /** It may be there now. */
  forget(digest: Digest): void {
    this.#seen.delete(digest.hex);
  }
}
