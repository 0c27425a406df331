import type { Fields } from "../exchange.ts";
import { misreadForm } from "./form-errors.ts";
import { decodeText } from "./form-text.ts";
import type { PartBody } from "./part-body.ts";
import type { PartHead } from "./part-head.ts";

/** One part of a form: a file or a field, valid until the form's next part is asked for. Made by `FormReader`. */
export class FormPart {
  /** The form field. */
  readonly name: string;
  /**
   * The file's name as it was sent, not cleaned; empty where it has none, such as for a file input that was left empty.
   * `null` where the part is a field and no file.
   */
  readonly fileName: string | null;
  /** The declared media type without parameters, or `null`. */
  readonly mediaType: string | null;
  /** The part's own header fields. */
  readonly fields: Fields;
  /**
   * The part's bytes, in slices of the chunks that came in; to be iterated once. Fails with `malformed-form` where the
   * form ends before the part does, with `form-limit-exceeded` in a field that is too large, and with whatever the form's
   * own bytes fail with. Of the field `_charset_` only the text is there.
   */
  readonly body: AsyncIterable<Uint8Array>;
  readonly #charset: string | null;
  #text: Promise<string> | null = null;

  /** @param formCharset what a `_charset_` field has declared before this part */
  constructor(head: PartHead, body: PartBody, formCharset: string | null) {
    this.name = head.name;
    this.fileName = head.fileName;
    this.mediaType = head.mediaType;
    this.fields = head.fields;
    this.body = body;
    this.#charset = head.charset ?? formCharset;
  }

  /**
   * The value of a field. May be asked for again.
   *
   * @throws FixityError `malformed-form`, also for a charset that is not known; `form-limit-exceeded`
   */
  async text(): Promise<string> {
    if (this.fileName !== null) throw misreadForm("A file in a form is read as bytes, not as text.");
    this.#text ??= this.#readText();
    return this.#text;
  }

  async #readText(): Promise<string> {
    const slices: Uint8Array[] = [];
    for await (const slice of this.body) slices.push(slice);
    return decodeText(Buffer.concat(slices), this.#charset);
  }
}
