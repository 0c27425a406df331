import { FixityError } from "../../core/errors.ts";
import {
  announcesTrailerDigest,
  contentLength,
  type Demand,
  demandOf,
  HashedBody,
  trailerDemandOf,
} from "../checks.ts";
import { ChunkFields } from "../form/chunk-fields.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { FormReader } from "../form/form-reader.ts";
import type { FormPart } from "../form/form-part.ts";
import type { RouteContext } from "../handler.ts";
import { receiptAnswer } from "../receipt.ts";

/** Room for a form's boundaries, headers and other fields in an announced length, besides the file. */
const FORM_OVERHEAD = 1024 * 1024;

/** `POST` of a `multipart/form-data` with one file, before or after any other fields. */
export async function uploadForm(context: RouteContext, boundary: string | undefined): Promise<Answer> {
  const { fixity, options, exchange, admission } = context;
  const { fieldName } = options;
  const length = contentLength(exchange);
  refuseTooLong(length, fixity.maxSize);
  const content = new CheckedContent(exchange);
  const form = new FormReader(content.body, boundary, options.form);
  const chunkFields = new ChunkFields();
  const file = await nextFile(form, fieldName, chunkFields);
  if (file === null) {
    throw noFile(fieldName);
  }
  const announced = demandOf(file.fields);
  if (announced.sha512 !== null && announced.sha256 === null) {
    throw new FixityError("unsupported-digest", "A digest in a form part must be sha-256.");
  }
  const receipt = await fixity.put(file.body, {
    filename: file.fileName,
    type: file.mediaType,
    digest: announced.sha256 ?? undefined,
    maxSize: length,
    admission,
    signal: exchange.signal,
    beforeCommit: async ({ size }) => {
      // what a browser sends for a file input in which nothing was chosen
      if (file.fileName === "" && size === 0) throw noFile(fieldName);
      // the whole form must be there and be right before its file becomes a blob
      if ((await nextFile(form, fieldName, chunkFields)) !== null) {
        throw new FixityError("unexpected-file", "The form has a second file. Send one file a request.");
      }
      content.check();
    },
  });
  return receiptAnswer(exchange, receipt);
}

/**
 * Reads on to the next part that is a file; fields before it are skipped, unless they say that the file is one chunk of
 * several. `null` at the end of the form.
 */
async function nextFile(form: FormReader, fieldName: string, chunkFields: ChunkFields): Promise<FormPart | null> {
  for (let part = await form.next(); part !== null; part = await form.next()) {
    if (part.fileName === null) {
      if (part.name === fieldName) {
        throw new FixityError("missing-file", `The form's field "${fieldName}" holds text, not a file.`, {
          facts: { field: fieldName },
        });
      }
      chunkFields.check(part.name, await part.text());
    } else if (part.name === fieldName) {
      return part;
    } else {
      throw new FixityError("unexpected-file", `The form has a file in another field than "${fieldName}".`, {
        facts: { field: fieldName },
      });
    }
  }
  return null;
}

function noFile(fieldName: string): FixityError {
  return new FixityError("missing-file", `The form has no file in the field "${fieldName}".`, {
    facts: { field: fieldName },
  });
}

function refuseTooLong(length: number | undefined, maxSize: number): void {
  if (length === undefined || length <= maxSize + FORM_OVERHEAD) return;
  throw new FixityError("size-limit-exceeded", `The file is larger than the limit of ${maxSize} bytes.`, {
    facts: { limit: maxSize },
  });
}

/** A form's content, hashed only where the request's digest fields demand something of it. */
class CheckedContent {
  readonly body: AsyncIterable<Uint8Array>;
  readonly #exchange: Exchange;
  readonly #announced: Demand;
  readonly #hashed: HashedBody | null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#announced = demandOf(exchange.fields);
    const trailing = announcesTrailerDigest(exchange.fields);
    const sha256 = trailing || this.#announced.sha256 !== null;
    const sha512 = trailing || this.#announced.sha512 !== null;
    this.#hashed = sha256 || sha512 ? new HashedBody(exchange.body, { sha256, sha512 }) : null;
    this.body = this.#hashed ?? exchange.body;
  }

  check(): void {
    const trailing = trailerDemandOf(this.#exchange, this.#hashed !== null);
    this.#hashed?.check(this.#announced, trailing);
  }
}
