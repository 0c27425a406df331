import { FixityError } from "../../core/errors.ts";
import { sizeLimitExceeded } from "../../core/intake.ts";
import type { Answer } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { ChunkFields, refuseChunkOfQuery } from "../form/chunk-fields.ts";
import { overFormLimit } from "../form/form-errors.ts";
import type { FormPart } from "../form/form-part.ts";
import { FormReader } from "../form/form-reader.ts";
import type { ResolvedHandlerOptions } from "../options.ts";
import type { AuthorizedRequest } from "../request.ts";
import { contentLength } from "../request-content.ts";
import { announcedDigests, DigestedContent } from "../request-digests.ts";
import { receiptAnswer } from "./upload.ts";

/**
 * The most bytes of boundaries, headers and other fields that an announced length may include
 * besides the file.
 */
const FORM_OVERHEAD_MAX_BYTES = 1024 * 1024;

/** `POST` of a `multipart/form-data`: stores its one file, before or after any other fields. */
export async function uploadForm(request: AuthorizedRequest): Promise<Answer> {
  const { fixity, options, exchange, admission, terms } = request;
  const maxSize = Math.min(fixity.maxSize, terms.maxSize ?? Infinity);
  refuseChunkOfQuery(request.query);
  const boundary = parseContentType(exchange.fields.get("content-type"))?.parameters.get("boundary");
  const length = contentLength(exchange);
  if (length !== undefined && length > maxSize + FORM_OVERHEAD_MAX_BYTES) {
    throw sizeLimitExceeded(maxSize);
  }
  const content = new DigestedContent(exchange);
  const files = new FormFiles(new FormReader(content.source, boundary, options.form), options);
  let file = await files.next();
  for (;;) {
    if (file === null) throw files.missing();
    const announced = announcedDigests(file.fields);
    if (announced.sha512 !== null && announced.sha256 === null) {
      throw new FixityError("unsupported-digest", "A digest in a form part must be sha-256.");
    }
    let replacement: FormPart | null = null;
    try {
      const receipt = await fixity.put(file.body, {
        filename: file.fileName,
        type: file.mediaType,
        digest: announced.sha256 ?? undefined,
        maxSize: length,
        admission,
        terms,
        signal: exchange.signal,
        beforeCommit: async () => {
          // The whole form must have arrived, and be valid, before its file becomes a blob.
          replacement = await files.next();
          if (replacement !== null) throw secondFile();
          content.check();
        },
      });
      return receiptAnswer(request, receipt);
    } catch (error) {
      if (replacement === null) throw error;
      // The staged part was a parameter, not the file: it has been aborted.
      file = replacement;
    }
  }
}

/** Finds the one file of a form while the form arrives. */
class FormFiles {
  readonly #form: FormReader;
  readonly #fieldName: string | undefined;
  readonly #fieldSize: number;
  readonly #chunkFields = new ChunkFields();
  /** The last part that {@link next} returned. */
  #chosen: FormPart | null = null;
  /** The first file with a name and no bytes. It is the form's file if no other file has any. */
  #empty: FormPart | null = null;
  /** Several parts without a file name hold data, so none of them is recognizable as the file. */
  #isAmbiguous = false;

  constructor(form: FormReader, { fieldName, form: { fieldSize } }: ResolvedHandlerOptions) {
    this.#form = form;
    this.#fieldName = fieldName;
    this.#fieldSize = fieldSize;
  }

  /**
   * The part to store, or `null` at the end of the form. It has bytes unless all files are empty.
   * After a part of the kind `data` it may return another part, to be stored instead.
   *
   * @throws FixityError `unexpected-file` for a second file, or one in another field than the
   *   service's; `malformed-form` if a field says that this is one chunk of a file; as
   *   `FormReader.next` does
   */
  async next(): Promise<FormPart | null> {
    for (let part = await this.#form.next(); part !== null; part = await this.#form.next()) {
      if (await this.#isCandidate(part)) {
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

  /** Whether a part may be the file. Reads parts that are not. */
  async #isCandidate(part: FormPart): Promise<boolean> {
    if (part.kind === "field") {
      await this.#checkField(part);
      return false;
    }
    const isParameter = part.kind === "data" && (this.#chosen?.kind === "file" || !this.#isExpected(part));
    if (isParameter) {
      await this.#skip(part);
      return false;
    }
    if (await part.isEmpty()) {
      // Browsers send an input without a chosen file as a file without a name.
      if (part.fileName !== "" && this.#isExpected(part)) this.#empty ??= part;
      return false;
    }
    if (part.kind === "data" && this.#chosen !== null) {
      this.#isAmbiguous = true;
      await this.#skip(part);
      return false;
    }
    return true;
  }

  /** The error for a form without a file. */
  missing(): FixityError {
    const field = this.#fieldName;
    const where = field === undefined ? "" : ` in the field "${field}"`;
    const facts = field === undefined ? {} : { field };
    return new FixityError("missing-file", `The form has no file${where}. With curl, use -F upload=@FILE.`, {
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

  /**
   * Decodes only fields in which uploaders announce chunks: a field that is not needed cannot make
   * the upload fail.
   */
  async #checkField(part: FormPart): Promise<void> {
    if (this.#chunkFields.reads(part.name)) this.#chunkFields.check(part.name, await part.text());
  }

  /** Skips a parameter, which may be as large as a field. */
  async #skip(part: FormPart): Promise<void> {
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
