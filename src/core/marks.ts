import type { DocumentStore } from "./document-store.ts";
import { FixityError } from "./errors.ts";

/** The collection of documents that say something about blobs, which every instance lists. */
const MARKS_PREFIX = "marks/";

/** How old the list of marks may be when a blob is read. */
const MARKS_MAX_AGE_MS = 10_000;

/** One kind of marks, which a listing brings up to date. */
export interface MarkKind {
  /**
   * Called when a listing begins. The returned function is called with the tags of all marks by the
   * names of their documents, of every kind. A mark that was written or removed in between may be
   * missing there, or still be there.
   */
  beginListing(): (found: ReadonlyMap<string, string>) => Promise<void>;
}

/**
 * The marks of blobs that all instances over a store share: the documents under `marks/`.
 *
 *     marks/damaged-<digest>   verification/damage-marks.ts
 *     marks/blocked-<digest>   blocks.ts
 *
 * Each kind keeps its marks in memory. They are listed again before a read, at most once in ten
 * seconds and all at once, so that a read costs no request, an idle service makes none, and the
 * instances agree within ten seconds. If they cannot be listed, those that are known still count.
 */
export class Marks {
  readonly documents: DocumentStore | undefined;
  readonly #log: (message: string, cause?: unknown) => void;
  readonly #kinds: MarkKind[] = [];
  /** `performance.now()` at the beginning of the last listing. */
  #listedAt = -Infinity;
  #listing: Promise<void> | null = null;
  #hasListed = false;
  #failure: unknown = null;

  /** @param documents without them, marks are known to this process only, until it ends */
  constructor(documents: DocumentStore | undefined, log: (message: string, cause?: unknown) => void) {
    this.documents = documents;
    this.#log = log;
  }

  /** Adds a kind, before the first listing. */
  keep(kind: MarkKind): void {
    this.#kinds.push(kind);
  }

  /** Lists the marks unless they were listed in the last ten seconds. Returns nothing if so. Never rejects. */
  refresh(): Promise<void> | undefined {
    const { documents } = this;
    if (documents === undefined || performance.now() - this.#listedAt < MARKS_MAX_AGE_MS) return undefined;
    this.#listing ??= this.#list(documents).finally(() => {
      this.#listing = null;
    });
    return this.#listing;
  }

  /**
   * Why nothing is known about any mark: the store has not answered a listing yet, and may do so
   * later. `null` otherwise, also if the credentials do not permit listings.
   */
  get unknownBecause(): FixityError | null {
    if (this.#hasListed || !(this.#failure instanceof FixityError)) return null;
    return this.#failure.code === "store-misconfigured" ? null : this.#failure;
  }

  async #list(documents: DocumentStore): Promise<void> {
    const startedAt = performance.now();
    const updates = this.#kinds.map((kind) => kind.beginListing());
    const found = new Map<string, string>();
    try {
      for await (const { name, tag } of documents.list(MARKS_PREFIX)) found.set(name, tag);
      this.#hasListed = true;
      for (const update of updates) await update(found);
      this.#failure = null;
    } catch (error) {
      if (this.#failure === null) {
        this.#log("the marks of damaged and blocked blobs cannot be listed: new ones are not known here", error);
      }
      this.#failure = error;
    }
    // Without any listing, the next call tries again.
    if (this.unknownBecause === null) this.#listedAt = startedAt;
  }
}
