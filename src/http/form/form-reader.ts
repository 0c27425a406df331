import { ByteScanner } from "./byte-scanner.ts";
import { delimiterOf, HEAD_END } from "./delimiter.ts";
import {
  bareLineFeed,
  BOUNDARY_LINE,
  hasBareLineFeed,
  malformedForm,
  misreadForm,
  overFormLimit,
} from "./form-errors.ts";
import { DEFAULT_LIMITS, type ResolvedFormLimits } from "./form-limits.ts";
import { FormPart } from "./form-part.ts";
import { charsetOfForm } from "./form-text.ts";
import { PartBody } from "./part-body.ts";
import { parsePartHead } from "./part-head.ts";

const HYPHEN = 45;
/** A delimiter's CRLF, where it is that of the line before. */
const LINE_BREAK = 2;
/** The field that declares the charset of those behind it (RFC 7578, section 4.6). It is read as soon as it is there. */
const CHARSET_FIELD = "_charset_";

/**
 * Reads a `multipart/form-data` (RFC 7578) part by part, while it comes in. Nothing is buffered but the header section of
 * a part and the value of a field, and nothing is pulled before it is asked for.
 *
 * `next()` gives the parts in order. A part is read before the next one is asked for; what is left of it is read over.
 * Only a `null` from `next()` says that the form was whole.
 */
export class FormReader {
  readonly #scanner: ByteScanner;
  readonly #delimiter: Buffer;
  readonly #limits: ResolvedFormLimits;
  #stage: "outset" | "parts" | "end" | "busy" = "outset";
  #current: PartBody | null = null;
  #charset: string | null = null;
  #parts = 0;
  #fields = 0;

  /**
   * @param content the form's bytes; iterated as far as is read, and never closed from here
   * @param boundary the `boundary` parameter of the form's `Content-Type`
   * @throws FixityError `malformed-form` where the boundary is missing or cannot be one
   */
  constructor(
    content: AsyncIterable<Uint8Array>,
    boundary: string | undefined,
    limits: ResolvedFormLimits = DEFAULT_LIMITS,
  ) {
    this.#delimiter = delimiterOf(boundary);
    this.#limits = limits;
    this.#scanner = new ByteScanner(content);
    this.#scanner.imply(LINE_BREAK);
  }

  /**
   * The next part; `null` once the closing boundary and the end of the content have been read.
   *
   * @throws FixityError `malformed-form`, `form-limit-exceeded`; and whatever the content fails with
   */
  async next(): Promise<FormPart | null> {
    const stage = this.#stage;
    if (stage === "end") return null;
    if (stage === "busy") throw misreadForm("A form is read part after part, and no further once that has failed.");
    this.#stage = "busy";
    if (stage === "outset") await this.#skipPreamble();
    else await this.#current?.skip();
    const head = await this.#readHead();
    const part = head === null ? null : this.#openPart(head);
    if (part?.name === CHARSET_FIELD && part.kind === "field") this.#charset = charsetOfForm(await part.text());
    this.#stage = part === null ? "end" : "parts";
    return part;
  }

  async #skipPreamble(): Promise<void> {
    let size = 0;
    for (;;) {
      const taken = this.#scanner.take(this.#delimiter);
      if (taken === "delimiter") return;
      if (taken !== "starved") size += taken.length;
      else if (!(await this.#scanner.pull()))
        throw malformedForm(`The form does not have the boundary it declares. ${BOUNDARY_LINE}`);
      // not a limit that the sender should know of: the boundary is wrong
      if (size > this.#limits.outsideSize)
        throw malformedForm(`The form does not begin with the boundary it declares. ${BOUNDARY_LINE}`);
    }
  }

  /** The header section behind a boundary; `null` behind the closing one, once the end has been read. */
  async #readHead(): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let size = 0;
    for (;;) {
      const taken = this.#scanner.take(HEAD_END);
      if (taken === "delimiter") return Buffer.concat(pieces, size);
      if (taken !== "starved") {
        pieces.push(taken);
        size += taken.length;
        if (isClosing(pieces)) {
          await this.#skipEpilogue(size);
          return null;
        }
        if (size > this.#limits.headSize) {
          if (hasBareLineFeed(Buffer.concat(pieces))) throw bareLineFeed("A line of a part's header section");
          throw overFormLimit("A part's header section", this.#limits.headSize);
        }
      } else if (!(await this.#scanner.pull())) {
        if (hasBareLineFeed(Buffer.concat(pieces))) throw bareLineFeed("A line of a part's header section");
        throw malformedForm("The form ends before its closing boundary.");
      }
    }
  }

  async #skipEpilogue(sizeSoFar: number): Promise<void> {
    const limit = this.#limits.outsideSize;
    let size = sizeSoFar;
    while (size <= limit) {
      const taken = this.#scanner.take(HEAD_END);
      if (taken === "starved") {
        if (!(await this.#scanner.pull())) return;
      } else size += taken === "delimiter" ? HEAD_END.length : taken.length;
    }
    throw overFormLimit("What follows the form's closing boundary", limit);
  }

  #openPart(bytes: Buffer): FormPart {
    const head = parsePartHead(bytes, this.#charset);
    const { parts, fields, fieldSize } = this.#limits;
    const isField = head.kind === "field";
    if ((this.#parts += 1) > parts) throw overFormLimit("The number of parts", parts);
    if (isField && (this.#fields += 1) > fields) throw overFormLimit("The number of fields", fields);
    this.#scanner.imply(LINE_BREAK);
    const body = new PartBody(this.#scanner, { delimiter: this.#delimiter, limit: isField ? fieldSize : Infinity });
    this.#current = body;
    return new FormPart(head, body, this.#charset);
  }
}

/** Two hyphens behind a boundary make it the closing one. */
function isClosing([first, second]: readonly Buffer[]): boolean {
  return first?.[0] === HYPHEN && (first[1] ?? second?.[0]) === HYPHEN;
}
