import { FixityError } from "./errors.ts";

/**
 * The part of the port for documents: small named texts with conditional writes, for state that
 * all instances over one store share (marks of damaged blobs, progress of long work). A store that
 * can keep them offers them as `documents`.
 *
 * The caller guarantees:
 *
 * - **Names are its own.** A name is `<collection>/<id>`, which {@link isDocumentName} describes. It
 *   is never a path from a request; parts that come from users are replaced by their SHA-256.
 * - **Documents are few and small.** One text has 1 to {@link DOCUMENT_MAX_BYTES} bytes of UTF-8,
 *   and no lone surrogates. Other names and texts are refused with `internal-error`.
 *
 * The store guarantees:
 *
 * - **Writes are atomic and durable.** A reader sees the whole text of one write. Once `write` or
 *   `remove` has returned, its effect survives a power failure; a crash during the call leaves the
 *   document as it was before or as it is after.
 * - **Conditional writes exclude each other.** Of several writes or removals with the same `ifMatch`
 *   at most one succeeds, in this process, in another or on another machine; of several writes with
 *   `ifAbsent` at most one, until the document is removed. Where {@link DocumentStore.isConditional}
 *   is false, the condition is checked before the write, and a write between the two is lost.
 * - **Errors.** Absence and a failed condition are `null` or `false`. A failure is a `FixityError`
 *   with a `store-…` code. The only other error is the reason of an aborted signal.
 */
export interface DocumentStore {
  /**
   * Whether the store itself enforces conditions. False in buckets that refuse or ignore them. May
   * change when the store notices.
   */
  readonly isConditional: boolean;

  /** The document with this name, or `null`. */
  read(name: string, signal?: AbortSignal): Promise<StoredDocument | null>;

  /**
   * Writes a document, under a condition or none.
   *
   * @returns the new tag; `null` if the condition does not hold, and nothing was written
   */
  write(name: string, text: string, condition?: WriteCondition): Promise<string | null>;

  /**
   * Removes a document. Idempotent.
   *
   * @param ifMatch the tag that the document must have; without it, any
   * @returns `false` if there was no document, or one with another tag
   */
  remove(name: string, ifMatch?: string): Promise<boolean>;

  /**
   * All documents whose name begins with `prefix`, in no particular order. One that is written or
   * removed during the walk may or may not be listed. Reads no text.
   *
   * @param prefix a collection and a slash, and perhaps the beginning of an id: `marks/`
   */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ListedDocument>;
}

/** A document as a listing shows it. */
export interface ListedDocument {
  readonly name: string;
  /**
   * Changes with every write, also if the text stays the same or the document was removed and
   * written again. Opaque: only compared.
   */
  readonly tag: string;
}

/** A document as it was read. */
export interface StoredDocument {
  readonly text: string;
  /** As in {@link ListedDocument}. */
  readonly tag: string;
}

/** What must hold for a write: nothing, that there is no document, or that it has this tag. */
export type WriteCondition =
  | { readonly ifAbsent?: undefined; readonly ifMatch?: undefined }
  | { readonly ifAbsent: true; readonly ifMatch?: undefined }
  | { readonly ifMatch: string; readonly ifAbsent?: undefined };

/** The most bytes of a document's text, in UTF-8. */
export const DOCUMENT_MAX_BYTES: number = 64 * 1024;

const COLLECTION = "[a-z0-9][a-z0-9._-]{0,39}";
const DOCUMENT_NAME = new RegExp(`^${COLLECTION}/[a-z0-9][a-z0-9._-]{0,127}$`);
const DOCUMENT_PREFIX = new RegExp(`^${COLLECTION}/(?:[a-z0-9][a-z0-9._-]{0,127})?$`);

/**
 * Whether a text can name a document: `<collection>/<id>`, each of lower-case letters, digits,
 * `-`, `_` and `.`, beginning with a letter or digit; at most 40 and 128 characters.
 */
export function isDocumentName(name: string): boolean {
  return DOCUMENT_NAME.test(name);
}

/**
 * For stores: refuses what the caller guarantees not to pass as a name.
 *
 * @throws FixityError `internal-error`
 */
export function assertDocumentName(name: string): void {
  if (!isDocumentName(name)) throw refused(`${JSON.stringify(name)} is not the name of a document.`);
}

/**
 * For stores: refuses what the caller guarantees not to pass to `list`.
 *
 * @throws FixityError `internal-error`
 */
export function assertDocumentPrefix(prefix: string): void {
  if (!DOCUMENT_PREFIX.test(prefix))
    throw refused(`${JSON.stringify(prefix)} is not the beginning of a document's name.`);
}

/**
 * For stores: refuses what the caller guarantees not to write.
 *
 * @throws FixityError `internal-error`
 */
export function assertDocumentText(text: string): void {
  const size = Buffer.byteLength(text);
  if (size < 1 || size > DOCUMENT_MAX_BYTES) {
    throw refused(`A document has 1 to ${DOCUMENT_MAX_BYTES} bytes, and this text has ${size}.`);
  }
  if (!text.isWellFormed()) throw refused("A document's text has a lone surrogate, which UTF-8 cannot encode.");
}

function refused(message: string): FixityError {
  return new FixityError("internal-error", message);
}
