import { escapeMarkup } from "../../base/escape-markup.ts";

/** What may stand in a template: text, which is escaped, markup, which is not, and `null` for nothing. */
export type Piece = string | Html | readonly Html[] | null;

/** Markup that is as it should be: made by {@link html} from templates of our own, so that no text from outside is in it unescaped. */
export class Html {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** Markup of our own that is to stand as it is: a style sheet, a script. */
  static asIs(text: string): Html {
    return new Html(text);
  }

  toString(): string {
    return this.#text;
  }
}

/** A template with its values put in as text, fit for elements and for attributes in quotation marks. */
export function html(template: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let text = template[0] ?? "";
  for (const [index, value] of values.entries()) text += markupOf(value) + (template[index + 1] ?? "");
  return Html.asIs(text);
}

function markupOf(piece: Piece): string {
  if (piece === null) return "";
  if (typeof piece === "string") return escapeMarkup(piece);
  return piece instanceof Html ? piece.toString() : piece.join("");
}
