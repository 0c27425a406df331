import { FixityError } from "../../core/errors.ts";
import { HashedSource, sizeLimitExceeded } from "../../core/intake.ts";
import {
  algorithmsFor,
  announcesTrailerDigest,
  assertDigests,
  contentLength,
  type Demand,
  demandOf,
  trailerDemandOf,
} from "../request-content.ts";
import { ChunkFields } from "../form/chunk-fields.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { overFormLimit } from "../form/form-errors.ts";
import { FormReader } from "../form/form-reader.ts";
import type { FormPart } from "../form/form-part.ts";
import type { RouteContext } from "../handler.ts";
import type { ResolvedHandlerOptions } from "../options.ts";
import { receiptAnswer } from "../receipt-answer.ts";

/** Room for a form's boundaries, headers and other fields in an announced length, besides the file. */
const FORM_OVERHEAD = 1024 * 1024;

/** `POST` of a `multipart/form-data`: stores its one file, before or after any other fields. */
export async function uploadForm(context: RouteContext, boundary: string | undefined): Promise<Answer> {
  const { fixity, options, exchange, admission } = context;
  const length = contentLength(exchange);
  refuseTooLong(length, fixity.maxSize);
  const content = new CheckedContent(exchange);
  const files = new FormFiles(new FormReader(content.body, boundary, options.form), options);
  let file = await files.next();
  for (;;) {
    if (file === null) throw files.missing();
    const announced = demandOf(file.fields);
    if (announced.sha512 !== null && announced.sha256 === null) {
      throw new FixityError("unsupported-digest", "A digest in a form part must be sha-256.");
    }
    let better: FormPart | null = null;
    try {
      const receipt = await fixity.put(file.body, {
        filename: file.fileName,
        type: file.mediaType,
        digest: announced.sha256 ?? undefined,
        maxSize: length,
        admission,
        signal: exchange.signal,
        beforeCommit: async () => {
          // the whole form must have arrived, and be right, before its file becomes a blob
          better = await files.next();
          if (better !== null) throw secondFile();
          content.check();
        },
      });
      return receiptAnswer(context, receipt);
    } catch (error) {
      if (better === null) throw error;
      // what was staged was a parameter, and has been aborted
      file = better;
    }
  }
}

/** Finds the one file of a form while the form comes in. */
class FormFiles {
  readonly #form: FormReader;
  readonly #fieldName: string | undefined;
  readonly #fieldSize: number;
  readonly #chunkFields = new ChunkFields();
  /** What {@link next} has returned last. */
  #chosen: FormPart | null = null;
  /** The first file that has a name and no bytes. It is the form's file if no other one has any. */
  #empty: FormPart | null = null;
  /** Several parts without a file name hold data: none of them can be said to be the file. */
  #isAmbiguous = false;

  constructor(form: FormReader, { fieldName, form: { fieldSize } }: ResolvedHandlerOptions) {
    this.#form = form;
    this.#fieldName = fieldName;
    this.#fieldSize = fieldSize;
  }

  /**
   * The part to store; `null` at the end of the form. It has bytes, unless all files are empty. After a part of the kind
   * `data` it may return another part, which is to be stored in its place.
   *
   * @throws FixityError `unexpected-file` for a second file, or one in another field than the service's; as
   *   `FormReader.next` does, and `malformed-form` where a field says that this is one chunk of a file
   */
  async next(): Promise<FormPart | null> {
    for (let part = await this.#form.next(); part !== null; part = await this.#form.next()) {
      if (part.kind === "field") await this.#checkField(part);
      else if (part.kind === "data" && (this.#chosen?.kind === "file" || !this.#isExpected(part)))
        await this.#drop(part);
      else if (await part.isEmpty()) {
        // browsers send an input in which no file was chosen as one without a name
        if (part.fileName !== "" && this.#isExpected(part)) this.#empty ??= part;
      } else if (part.kind === "data" && this.#chosen !== null) {
        this.#isAmbiguous = true;
        await this.#drop(part);
      } else {
        this.#assertExpected(part);
        if (this.#chosen?.kind === "file") throw secondFile();
        this.#chosen = part;
        return part;
      }
    }
    if (this.#isAmbiguous && this.#chosen?.kind === "data") throw secondFile();
    if (this.#chosen !== null || this.#empty === null) return null;
    this.#chosen = this.#empty;
    return this.#chosen;
  }

  /** What is wrong with a form in which there is no file. */
  missing(): FixityError {
    const field = this.#fieldName;
    const where = field === undefined ? "" : ` in the field "${field}"`;
    const facts = field === undefined ? {} : { field };
    return new FixityError("missing-file", `The form has no file${where}. With curl, write -F upload=@FILE.`, {
      facts,
    });
  }

  #isExpected({ name }: FormPart): boolean {
    return this.#fieldName === undefined || name === this.#fieldName;
  }

  #assertExpected(part: FormPart): void {
    if (this.#fieldName === undefined || this.#isExpected(part)) return;
    throw new FixityError(
      "unexpected-file",
      `The form has a file in the field "${part.name}". Send it in the field "${this.#fieldName}".`,
      { facts: { field: this.#fieldName } },
    );
  }

  /** Only fields by which uploaders announce chunks are decoded: a field that is not read cannot make the upload fail. */
  async #checkField(part: FormPart): Promise<void> {
    if (this.#chunkFields.reads(part.name)) this.#chunkFields.check(part.name, await part.text());
  }

  /** Reads over a parameter, which may be as large as a field. */
  async #drop(part: FormPart): Promise<void> {
    let size = 0;
    for await (const slice of part.body) {
      size += slice.length;
      if (size > this.#fieldSize) throw overFormLimit("The size of a form field", this.#fieldSize);
    }
  }
}

function secondFile(): FixityError {
  return new FixityError("unexpected-file", "The form has a second file. Send one file in each request.");
}

function refuseTooLong(length: number | undefined, maxSize: number): void {
  if (length === undefined || length <= maxSize + FORM_OVERHEAD) return;
  throw sizeLimitExceeded(maxSize);
}

/** A form's content, hashed only where the request's digest fields demand something of it. */
class CheckedContent {
  readonly body: AsyncIterable<Uint8Array>;
  readonly #exchange: Exchange;
  readonly #announced: Demand;
  readonly #hashed: HashedSource | null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#announced = demandOf(exchange.fields);
    const algorithms = algorithmsFor(this.#announced, announcesTrailerDigest(exchange.fields));
    this.#hashed = algorithms.length > 0 ? new HashedSource(exchange.body, algorithms) : null;
    this.body = this.#hashed ?? exchange.body;
  }

  check(): void {
    const trailing = trailerDemandOf(this.#exchange, this.#hashed !== null);
    if (this.#hashed !== null) assertDigests(this.#hashed, this.#announced, trailing);
  }
}
