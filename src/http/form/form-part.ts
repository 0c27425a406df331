import type { Fields } from "../exchange.ts";
import type { ByteScanner } from "./byte-scanner.ts";
import { bareLineFeed, BOUNDARY_LINE, malformedForm, misreadForm, overFormLimit } from "./form-errors.ts";
import { decodeText, type PartHead, type PartKind } from "./part-head.ts";

/**
 * One part of a form: a file or a field. Valid until the form's next part is requested. Created by
 * `FormReader`.
 */
export class FormPart {
  readonly kind: PartKind;
  /** The name of the form field. */
  readonly name: string;
  /**
   * The file's name as sent, not cleaned. Empty if it has none, as for a file input without a
   * chosen file. `null` for a field.
   */
  readonly fileName: string | null;
  /** The declared media type without parameters, or `null`. */
  readonly mediaType: string | null;
  /** The part's own header fields. */
  readonly fields: Fields;
  readonly #body: PartBody;
  readonly #charset: string | null;
  #text: Promise<string> | null = null;

  /** @param formCharset the charset that a `_charset_` field declared before this part */
  constructor(head: PartHead, body: PartBody, formCharset: string | null) {
    this.kind = head.kind;
    this.name = head.name;
    this.fileName = head.fileName;
    this.mediaType = head.mediaType;
    this.fields = head.fields;
    this.#body = body;
    this.#charset = head.charset ?? formCharset;
  }

  /**
   * The part's bytes, as slices of the received chunks, to be iterated once. Fails with
   * `malformed-form` if the form ends before the part does, with `form-limit-exceeded` if a field
   * is too large, and with any failure of the form's own content. The body of a `_charset_` field
   * has already been read: use `text()`.
   */
  get body(): AsyncIterable<Uint8Array> {
    return this.#body;
  }

  /** Whether the part has no bytes. Reads up to the first byte; `body` still yields all of them. */
  isEmpty(): Promise<boolean> {
    return this.#body.isEmpty();
  }

  /**
   * The value of a field. May be called repeatedly. Text in an unknown charset, or invalid in its
   * declared one, is decoded as well as possible.
   *
   * @throws FixityError `malformed-form` if the form is truncated, `form-limit-exceeded`
   */
  async text(): Promise<string> {
    if (this.kind !== "field") throw misreadForm("A file in a form must be read as bytes, not as text.");
    this.#text ??= this.#readText();
    return this.#text;
  }

  async #readText(): Promise<string> {
    const slices: Uint8Array[] = [];
    for await (const slice of this.#body) slices.push(slice);
    return decodeText(Buffer.concat(slices), this.#charset);
  }
}

/**
 * The bytes of one part, to be iterated once. If a loop exits early, {@link skip} reads the rest.
 */
export class PartBody implements AsyncIterable<Uint8Array> {
  readonly #scanner: ByteScanner;
  readonly #delimiter: Buffer;
  readonly #maxBytes: number;
  #size = 0;
  #hasBareBoundary = false;
  #isBegun = false;
  #isEnded = false;
  #isSkipped = false;
  /** The first slice, if {@link isEmpty} has taken it. */
  #first: Buffer | null = null;

  /** @param options `maxBytes` is `Infinity` for a file: the intake limits those */
  constructor(
    scanner: ByteScanner,
    { delimiter, maxBytes }: { readonly delimiter: Buffer; readonly maxBytes: number },
  ) {
    this.#scanner = scanner;
    this.#delimiter = delimiter;
    this.#maxBytes = maxBytes;
  }

  /**
   * Not a generator, which awaits once more for every slice; without `return`, so that an early
   * exit reads nothing.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#isBegun) throw misreadForm("The body of a form part must be read once.");
    this.#isBegun = true;
    return { next: () => this.#next() };
  }

  /**
   * Whether the part has no bytes. Reads up to the first byte and keeps it for the reader of the
   * body.
   */
  async isEmpty(): Promise<boolean> {
    if (this.#isBegun) throw misreadForm("isEmpty() must be called before the body of a form part is read.");
    while (this.#first === null && !this.#isEnded) {
      const taken = this.#take();
      if (taken === "starved") await this.#pull();
      else if (taken !== "delimiter") this.#first = taken;
    }
    return this.#first === null;
  }

  /** Reads and drops the rest. A reader that is still iterating the body fails from now on. */
  async skip(): Promise<void> {
    this.#first = null;
    while (!this.#isEnded) {
      this.#isBegun = true;
      this.#isSkipped = true;
      if (this.#take() === "starved") await this.#pull();
    }
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#isSkipped) throw misreadForm("A form part was skipped before its end and cannot be read further.");
      const first = this.#first;
      this.#first = null;
      if (first !== null) return { done: false, value: first };
      if (this.#isEnded) return { done: true, value: undefined };
      const taken = this.#take();
      if (taken === "starved") await this.#pull();
      else if (taken !== "delimiter") return { done: false, value: taken };
    }
  }

  #take(): ReturnType<ByteScanner["take"]> {
    const taken = this.#scanner.take(this.#delimiter);
    if (taken === "delimiter") this.#isEnded = true;
    else if (taken !== "starved") this.#count(taken);
    return taken;
  }

  #count(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#maxBytes === Infinity) return;
    // This may be content. If the field is too large, it is more likely the boundary of a part that
    // was taken for content.
    this.#hasBareBoundary ||= bytes.includes(this.#delimiter.subarray(1));
    if (this.#size <= this.#maxBytes) return;
    if (this.#hasBareBoundary) throw bareLineFeed("The line before a boundary");
    throw overFormLimit("The size of a form field", this.#maxBytes);
  }

  async #pull(): Promise<void> {
    if (await this.#scanner.pull()) return;
    throw malformedForm(`The form ends within a part, without its closing boundary. ${BOUNDARY_LINE}`);
  }
}
