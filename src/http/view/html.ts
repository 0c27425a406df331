import { escapeMarkup } from "../../base/escape-markup.ts";

/** A value in a template: text, which is escaped, markup, which is not, and `null` for nothing. */
export type Piece = string | Html | readonly Html[] | null;

/**
 * Trusted markup, created by {@link html} from templates in the source: it contains no unescaped
 * text from outside.
 */
export class Html {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** Markup of our own that must not be escaped: a style sheet, a script. */
  static trusted(text: string): Html {
    return new Html(text);
  }

  toString(): string {
    return this.#text;
  }
}

/** A template whose values are escaped, for use in elements and in quoted attributes. */
export function html(template: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let text = template[0] ?? "";
  for (const [index, value] of values.entries()) text += markupOf(value) + (template[index + 1] ?? "");
  return Html.trusted(text);
}

function markupOf(piece: Piece): string {
  if (piece === null) return "";
  if (typeof piece === "string") return escapeMarkup(piece);
  return piece instanceof Html ? piece.toString() : piece.join("");
}
