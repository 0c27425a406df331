import type { Fields } from "../exchange.ts";
import { misreadForm } from "./form-errors.ts";
import { decodeText } from "./form-text.ts";
import type { PartBody } from "./part-body.ts";
import type { PartHead, PartKind } from "./part-head.ts";

/** One part of a form: a file or a field, valid until the form's next part is asked for. Made by `FormReader`. */
export class FormPart {
  readonly kind: PartKind;
  /** The form field. */
  readonly name: string;
  /**
   * The file's name as it was sent, not cleaned; empty where it has none, such as for a file input that was left empty.
   * `null` for a field.
   */
  readonly fileName: string | null;
  /** The declared media type without parameters, or `null`. */
  readonly mediaType: string | null;
  /** The part's own header fields. */
  readonly fields: Fields;
  readonly #body: PartBody;
  readonly #charset: string | null;
  #text: Promise<string> | null = null;

  /** @param formCharset what a `_charset_` field has declared before this part */
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
   * The part's bytes, in slices of the chunks that came in; to be iterated once. Fails with `malformed-form` where the
   * form ends before the part does, with `form-limit-exceeded` in a field that is too large, and with whatever the form's
   * own bytes fail with. Of the field `_charset_`, only the text can be read.
   */
  get body(): AsyncIterable<Uint8Array> {
    return this.#body;
  }

  /** Whether the part has no bytes. Reads up to the first one; `body` still has all of them. */
  isEmpty(): Promise<boolean> {
    return this.#body.isEmpty();
  }

  /**
   * The value of a field. May be asked for again. Text in an unknown charset, or that is not in the charset it declares, is
   * read as well as it can be.
   *
   * @throws FixityError `malformed-form` where the form breaks off, `form-limit-exceeded`
   */
  async text(): Promise<string> {
    if (this.kind !== "field") throw misreadForm("A file in a form is read as bytes, not as text.");
    this.#text ??= this.#readText();
    return this.#text;
  }

  async #readText(): Promise<string> {
    const slices: Uint8Array[] = [];
    for await (const slice of this.#body) slices.push(slice);
    return decodeText(Buffer.concat(slices), this.#charset);
  }
}
