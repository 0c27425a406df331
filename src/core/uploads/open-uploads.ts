import { FixityError } from "../errors.ts";
import { UploadId } from "../upload-id.ts";

/** Uploads that are looked at for one that wants to begin where there is no room. */
const LOOKS = 20;

/** Unfinished uploads that were begun or continued in this process: a bound on what one instance takes on. */
export class OpenUploads {
  readonly #most: number;
  readonly #isOpen: (id: UploadId) => Promise<boolean>;
  /** When each expires, by id, in milliseconds since 1970. Those that were looked at last stand last. */
  readonly #expiries = new Map<string, number>();
  /** Admitted, and not in the store yet. */
  readonly #beginning = new Set<string>();
  #looking: Promise<void> | null = null;

  /** @param isOpen asks the store: an upload may have ended, or been removed, at another instance */
  constructor(most: number, isOpen: (id: UploadId) => Promise<boolean>) {
    this.#most = most;
    this.#isOpen = isOpen;
  }

  /**
   * Takes up a new one. To be noted when the store has it, or forgotten.
   *
   * @throws FixityError `too-many-uploads` where there is no room for it, or a `store-…` code
   */
  async admit(id: UploadId, expires: number): Promise<void> {
    if (this.#isFull) this.#dropExpired();
    if (this.#isFull) await (this.#looking ??= this.#dropEnded());
    if (this.#isFull) {
      throw new FixityError(
        "too-many-uploads",
        "There are too many unfinished uploads. Finish some, or come again later.",
        { facts: { limit: this.#most } },
      );
    }
    this.#beginning.add(id.hex);
    this.#expiries.set(id.hex, expires);
  }

  note(id: UploadId, expires: number): void {
    this.#beginning.delete(id.hex);
    this.#expiries.set(id.hex, expires);
  }

  forget(id: UploadId): void {
    this.#beginning.delete(id.hex);
    this.#expiries.delete(id.hex);
  }

  get #isFull(): boolean {
    return this.#expiries.size >= this.#most;
  }

  #dropExpired(): void {
    const now = Date.now();
    for (const [id, expires] of this.#expiries) if (expires < now) this.#expiries.delete(id);
  }

  /** Goes on for as long as that helps. */
  async #dropEnded(): Promise<void> {
    try {
      let dropped = 1;
      while (this.#isFull && dropped > 0) dropped = await this.#lookAtOldest();
    } finally {
      this.#looking = null;
    }
  }

  /** @returns how many of some have ended */
  async #lookAtOldest(): Promise<number> {
    const known = [...this.#expiries].filter(([hex]) => !this.#beginning.has(hex)).slice(0, LOOKS);
    let dropped = 0;
    for (const [hex, expires] of known) {
      const id = UploadId.fromHex(hex);
      const isOpen = id !== null && (await this.#isOpen(id));
      if (!isOpen) dropped += 1;
      // it may have been forgotten meanwhile
      if (this.#expiries.delete(hex) && isOpen) this.#expiries.set(hex, expires);
    }
    return dropped;
  }
}
