import { XMLParser } from "fast-xml-parser";

type Parsed = string | { readonly [name: string]: Parsed | readonly Parsed[] };

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  // White space at the ends of a key is part of the key.
  trimValues: false,
  removeNSPrefix: true,
  // Numeric entities too: some servers write a quotation mark as &#34;.
  htmlEntities: true,
});

/** An element of a response. */
export class XmlElement {
  readonly name: string;
  readonly #content: Parsed;

  constructor(name: string, content: Parsed) {
    this.name = name;
    this.#content = content;
  }

  /**
   * The text of the first child element of that name; `null` if there is none, or if it contains
   * elements.
   */
  text(name: string): string | null {
    const [first] = this.#contents(name);
    return typeof first === "string" ? first : null;
  }

  /** All child elements of that name. */
  children(name: string): readonly XmlElement[] {
    return this.#contents(name).map((content) => new XmlElement(name, content));
  }

  #contents(name: string): readonly Parsed[] {
    if (typeof this.#content === "string") return [];
    const found = Object.hasOwn(this.#content, name) ? this.#content[name] : undefined;
    if (found === undefined) return [];
    return Array.isArray(found) ? (found as readonly Parsed[]) : [found as Parsed];
  }
}

/**
 * The root element of a document; `null` for anything that is not a complete XML document. Document
 * types are refused: S3 sends none, and they may define entities.
 */
export function parseXml(document: string): XmlElement | null {
  const text = document.trim();
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

/**
 * The parser silently closes what a truncated document leaves open, so the document must end with
 * the root's end tag.
 */
function isClosed(text: string, root: string): boolean {
  const name = `([\\w.-]+:)?${RegExp.escape(root)}`;
  return new RegExp(`<(/${name}|${name}(\\s[^<>]*)?/)\\s*>$`).test(text);
}
