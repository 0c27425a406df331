import { FixityError } from "../../core/errors.ts";
import { ByteScanner } from "./byte-scanner.ts";
import {
  bareLineFeed,
  BOUNDARY_LINE,
  hasBareLineFeed,
  malformedForm,
  misreadForm,
  overFormLimit,
} from "./form-errors.ts";
import { FormPart, PartBody } from "./form-part.ts";
import { charsetOfForm, parsePartHead } from "./part-head.ts";

/** Limits on everything in a form except its files, whose sizes their readers limit. */
export interface FormLimits {
  /**
   * Parts, files and fields together.
   *
   * @default 100
   */
  readonly parts?: number;
  /**
   * Parts that are fields.
   *
   * @default 64
   */
  readonly fields?: number;
  /**
   * Bytes of one field's value.
   *
   * @default 65536
   */
  readonly fieldSize?: number;
  /**
   * Bytes of one part's header section.
   *
   * @default 16384
   */
  readonly headSize?: number;
  /**
   * Bytes before the first boundary, and bytes after the last.
   *
   * @default 65536
   */
  readonly outsideSize?: number;
}

/** {@link FormLimits}, validated and complete. */
export type ResolvedFormLimits = Required<FormLimits>;

const DEFAULT_LIMITS: ResolvedFormLimits = {
  parts: 100,
  fields: 64,
  fieldSize: 64 * 1024,
  headSize: 16 * 1024,
  outsideSize: 64 * 1024,
};

/** @throws FixityError `invalid-option` */
export function resolveFormLimits(limits: FormLimits): ResolvedFormLimits {
  const resolved = { ...DEFAULT_LIMITS, ...limits };
  for (const [name, limit] of Object.entries(resolved)) {
    if (!(limit >= 0)) throw new FixityError("invalid-option", `The form limit ${name} must be a number, 0 or more.`);
  }
  return resolved;
}

const HYPHEN = 45;
/** Ends the header section of a part (RFC 2046, section 5.1). */
export const HEAD_END: Buffer = Buffer.from("\r\n\r\n");
/** The CRLF of a delimiter that is also that of the preceding line, in bytes. */
const LINE_BREAK_BYTES = 2;
/**
 * The field that declares the charset of the following ones (RFC 7578, section 4.6). It is read as
 * soon as it arrives.
 */
const CHARSET_FIELD = "_charset_";

/**
 * Reads a `multipart/form-data` (RFC 7578) part by part, while it arrives. The reader buffers only
 * the header section of a part and the value of a field, and pulls nothing before it is needed.
 *
 * `next()` returns the parts in order. A part must be read before the next one is requested: the
 * rest of it is skipped. Only `null` from `next()` proves that the form was complete.
 */
export class FormReader {
  readonly #scanner: ByteScanner;
  readonly #delimiter: Buffer;
  readonly #limits: ResolvedFormLimits;
  #stage: "preamble" | "parts" | "end" | "busy" = "preamble";
  #current: PartBody | null = null;
  #charset: string | null = null;
  #parts = 0;
  #fields = 0;

  /**
   * @param content the form's bytes, iterated as far as needed; the reader never closes them
   * @param boundary the `boundary` parameter of the form's `Content-Type`
   * @throws FixityError `malformed-form` if the boundary is missing or invalid
   */
  constructor(
    content: AsyncIterable<Uint8Array>,
    boundary: string | undefined,
    limits: ResolvedFormLimits = DEFAULT_LIMITS,
  ) {
    this.#delimiter = delimiterOf(boundary);
    this.#limits = limits;
    this.#scanner = new ByteScanner(content);
    this.#scanner.imply(LINE_BREAK_BYTES);
  }

  /**
   * The next part, or `null` once the closing boundary and the end of the content have been read.
   *
   * @throws FixityError `malformed-form`, `form-limit-exceeded`; and any failure of the content
   */
  async next(): Promise<FormPart | null> {
    const stage = this.#stage;
    if (stage === "end") return null;
    if (stage === "busy") throw misreadForm("A form must be read part by part, and no further after a failure.");
    this.#stage = "busy";
    if (stage === "preamble") await this.#skipPreamble();
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
        throw malformedForm(`The form does not contain the boundary it declares. ${BOUNDARY_LINE}`);
      // The limit would mislead the sender: the boundary is wrong.
      if (size > this.#limits.outsideSize)
        throw malformedForm(`The form does not begin with the boundary it declares. ${BOUNDARY_LINE}`);
    }
  }

  /**
   * Reads the header section after a boundary. Returns `null` after the closing one, once the end
   * has been read.
   */
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
    throw overFormLimit("The content after the form's closing boundary", limit);
  }

  #openPart(bytes: Buffer): FormPart {
    const head = parsePartHead(bytes, this.#charset);
    const { parts, fields, fieldSize } = this.#limits;
    const isField = head.kind === "field";
    if ((this.#parts += 1) > parts) throw overFormLimit("The number of parts", parts);
    if (isField && (this.#fields += 1) > fields) throw overFormLimit("The number of fields", fields);
    this.#scanner.imply(LINE_BREAK_BYTES);
    const body = new PartBody(this.#scanner, { delimiter: this.#delimiter, maxBytes: isField ? fieldSize : Infinity });
    this.#current = body;
    return new FormPart(head, body, this.#charset);
  }
}

/** Two hyphens after a boundary make it the closing one. */
function isClosing([first, second]: readonly Buffer[]): boolean {
  return first?.[0] === HYPHEN && (first[1] ?? second?.[0]) === HYPHEN;
}

/**
 * The bytes between the parts of a form: CRLF, two hyphens, the boundary. RFC 2046 allows 1 to 70
 * characters of a small set. Senders are less strict, so any printable ASCII of up to 200
 * characters is accepted. It contains no CR, on which `ByteScanner` relies.
 *
 * @throws FixityError `malformed-form`
 */
export function delimiterOf(boundary: string | undefined): Buffer {
  if (boundary === undefined) throw malformedForm("The form's Content-Type has no boundary.");
  if (!/^[\x20-\x7e]{0,199}[\x21-\x7e]$/.test(boundary)) {
    throw malformedForm("The form's boundary must be 1 to 200 printable ASCII characters.");
  }
  return Buffer.from(`\r\n--${boundary}`, "latin1");
}
