import { FixityError } from "../core/errors.ts";
import { cleanExtension } from "../core/link.ts";
import { mediaTypeOf } from "../core/media-type.ts";

const TYPE_PATTERN = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})$/;

/**
 * Which files are allowed, by the extension of their link: the type that a link is served with is a
 * function of it alone. What a file contains is not looked at.
 */
export class TypeList {
  readonly #texts: readonly string[];
  readonly #extensions = new Set<string>();
  readonly #types = new Set<string>();
  /** `image/` for `image/*`. */
  readonly #prefixes: readonly string[];
  /** Another list that must allow the file, too. */
  readonly #other: TypeList | null;

  private constructor(texts: readonly string[], other: TypeList | null = null) {
    this.#other = other;
    this.#texts = texts;
    for (const text of texts) {
      if (text.startsWith(".")) this.#extensions.add(text.slice(1));
      else if (!text.endsWith("*")) this.#types.add(text);
    }
    this.#prefixes = texts.filter((text) => text.endsWith("/*")).map((text) => text.slice(0, -1));
  }

  /**
   * Parses media types (`application/pdf`), ranges of them (`image/*`) and extensions (`.docx`).
   *
   * @throws FixityError `invalid-option` for anything else, and for an empty list
   */
  static parse(texts: readonly string[]): TypeList {
    const list = TypeList.from(texts);
    if (list !== null) return list;
    throw new FixityError(
      "invalid-option",
      `${JSON.stringify(texts.join(", "))} must be media types such as image/* or application/pdf, or extensions such as .docx.`,
    );
  }

  /** As {@link parse} does; `null` if a text is invalid or there is none. */
  static from(texts: readonly string[]): TypeList | null {
    const clean = texts.map((text) => text.trim().toLowerCase());
    const isValid = (text: string): boolean =>
      text.startsWith(".") ? cleanExtension(text.slice(1)) !== null : TYPE_PATTERN.test(text);
    return clean.length > 0 && clean.every(isValid) ? new TypeList(clean) : null;
  }

  /** @param extension of the link; `null` for none, whose type is `application/octet-stream` */
  allows(extension: string | null): boolean {
    return this.#lists(extension) && this.#other?.allows(extension) !== false;
  }

  /** The list of what both lists allow. */
  and(other: TypeList | undefined): TypeList {
    if (other === undefined) return this;
    return new TypeList(this.#texts, this.#other === null ? other : this.#other.and(other));
  }

  #lists(extension: string | null): boolean {
    if (extension !== null && this.#extensions.has(extension)) return true;
    const [essence = ""] = mediaTypeOf(extension).split(";", 1);
    return this.#types.has(essence) || this.#prefixes.some((prefix) => essence.startsWith(prefix));
  }

  /** The texts it was made from, lower-cased. */
  toJSON(): readonly string[] {
    return this.#texts;
  }

  /** For messages: `image/*, application/pdf`. */
  toString(): string {
    const own = this.#texts.join(", ");
    return this.#other === null ? own : `${own}, if also among ${this.#other.toString()}`;
  }
}
