import { FixityError } from "../errors.ts";
import type { UploadId } from "../upload-id.ts";

/** Unfinished uploads that were begun or continued in this process: a bound on what one instance takes on. */
export class OpenUploads {
  readonly #most: number;
  /** When each expires, by id, in milliseconds since 1970. */
  readonly #expiries = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** @throws FixityError `too-many-uploads` where there is no room for one more */
  admit(): void {
    if (this.#expiries.size < this.#most) return;
    const now = Date.now();
    for (const [id, expires] of this.#expiries) if (expires < now) this.#expiries.delete(id);
    if (this.#expiries.size < this.#most) return;
    throw new FixityError(
      "too-many-uploads",
      "There are too many unfinished uploads. Finish some, or come again later.",
      {
        facts: { limit: this.#most },
      },
    );
  }

  note(id: UploadId, expires: number): void {
    this.#expiries.set(id.hex, expires);
  }

  forget(id: UploadId): void {
    this.#expiries.delete(id.hex);
  }
}
