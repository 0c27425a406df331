import { XMLParser } from "fast-xml-parser";

type Parsed = string | { readonly [name: string]: Parsed | readonly Parsed[] };

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  // A key may begin or end in white space, and is another one without.
  trimValues: false,
  removeNSPrefix: true,
  // Numeric ones too: some servers write a quotation mark as &#34;.
  htmlEntities: true,
});

/** An element of an answer. */
export class XmlElement {
  readonly name: string;
  readonly #content: Parsed;

  constructor(name: string, content: Parsed) {
    this.name = name;
    this.#content = content;
  }

  /** The text of a child element; `null` where there is none, or it holds elements itself. */
  text(name: string): string | null {
    const [first] = this.#all(name);
    return typeof first === "string" ? first : null;
  }

  /** The child elements of a name. */
  children(name: string): readonly XmlElement[] {
    return this.#all(name).map((content) => new XmlElement(name, content));
  }

  #all(name: string): readonly Parsed[] {
    if (typeof this.#content === "string") return [];
    const found = Object.hasOwn(this.#content, name) ? this.#content[name] : undefined;
    if (found === undefined) return [];
    return Array.isArray(found) ? (found as readonly Parsed[]) : [found as Parsed];
  }
}

/**
 * The root element of an answer; `null` where that is no XML, or only the beginning of some. A document type is refused:
 * S3 sends none, and it could define entities.
 */
export function parseXml(answer: string): XmlElement | null {
  const text = answer.trim();
  if (text.includes("<!DOCTYPE")) return null;
  try {
    const entries = Object.entries(parser.parse(text) as Readonly<Record<string, Parsed>>);
    const [root] = entries;
    if (root === undefined || entries.length > 1 || !isClosed(text, root[0])) return null;
    return new XmlElement(...root);
  } catch {
    return null;
  }
}

/** The parser closes by itself what a cut answer has left open: it has to end in the root's end, or be nothing else. */
function isClosed(text: string, root: string): boolean {
  const name = `([\\w.-]+:)?${RegExp.escape(root)}`;
  return new RegExp(`<(/${name}|${name}(\\s[^<>]*)?/)\\s*>$`).test(text);
}
