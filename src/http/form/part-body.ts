import type { ByteScanner } from "./byte-scanner.ts";
import { bareLineFeed, BOUNDARY_LINE, malformedForm, misreadForm, overFormLimit } from "./form-errors.ts";

/** Where a part's body ends, and how large it may be. */
export interface PartBodyOptions {
  readonly delimiter: Buffer;
  /** Most bytes; `Infinity` for a file. */
  readonly limit: number;
}

/** The bytes of one part, to be iterated once. A loop that is left early leaves the rest to {@link skip}. */
export class PartBody implements AsyncIterable<Uint8Array> {
  readonly #scanner: ByteScanner;
  readonly #delimiter: Buffer;
  readonly #limit: number;
  #size = 0;
  #hasBareBoundary = false;
  #begun = false;
  #ended = false;
  #skipped = false;
  /** The first slice, where {@link isEmpty} has taken it. */
  #first: Buffer | null = null;

  constructor(scanner: ByteScanner, { delimiter, limit }: PartBodyOptions) {
    this.#scanner = scanner;
    this.#delimiter = delimiter;
    this.#limit = limit;
  }

  /** Not a generator, which would wait once more for every slice; and without `return`, so that leaving reads nothing. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#begun) throw misreadForm("The body of a form part is read once.");
    this.#begun = true;
    return { next: () => this.#next() };
  }

  /** Whether the part has no bytes. Reads up to the first one, which is kept for the reader of the body. */
  async isEmpty(): Promise<boolean> {
    if (this.#begun) throw misreadForm("Whether a form part is empty is asked before its body is read.");
    while (this.#first === null && !this.#ended) {
      const taken = this.#take();
      if (taken === "starved") await this.#pull();
      else if (taken !== "delimiter") this.#first = taken;
    }
    return this.#first === null;
  }

  /** Reads and drops whatever has not been read. A reader that is still at work on the body fails from now on. */
  async skip(): Promise<void> {
    this.#first = null;
    while (!this.#ended) {
      this.#begun = true;
      this.#skipped = true;
      if (this.#take() === "starved") await this.#pull();
    }
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#skipped) throw misreadForm("A form part was left before its end, and cannot be read on.");
      const first = this.#first;
      this.#first = null;
      if (first !== null) return { done: false, value: first };
      if (this.#ended) return { done: true, value: undefined };
      const taken = this.#take();
      if (taken === "starved") await this.#pull();
      else if (taken !== "delimiter") return { done: false, value: taken };
    }
  }

  #take(): ReturnType<ByteScanner["take"]> {
    const taken = this.#scanner.take(this.#delimiter);
    if (taken === "delimiter") this.#ended = true;
    else if (taken !== "starved") this.#count(taken);
    return taken;
  }

  #count(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#limit === Infinity) return;
    // it may be content; where the field is too large, it more likely is the boundary of a part that was taken for one
    this.#hasBareBoundary ||= bytes.includes(this.#delimiter.subarray(1));
    if (this.#size <= this.#limit) return;
    if (this.#hasBareBoundary) throw bareLineFeed("The line before a boundary");
    throw overFormLimit("The size of a form field", this.#limit);
  }

  async #pull(): Promise<void> {
    if (await this.#scanner.pull()) return;
    throw malformedForm(`The form ends in the middle of a part, without its closing boundary. ${BOUNDARY_LINE}`);
  }
}
