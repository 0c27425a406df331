import { FixityError } from "../../core/errors.ts";

/**
 * Fields in which chunking form uploaders send the number of chunks of a file, by lower-case name.
 */
const COUNT_FIELDS: ReadonlyMap<string, string> = new Map([
  ["dztotalchunkcount", "Dropzone"],
  ["resumabletotalchunks", "Resumable.js"],
  ["flowtotalchunks", "Flow.js"],
  ["totalchunks", "simple-uploader.js"],
  ["chunks", "Plupload and WebUploader"],
  ["qqtotalparts", "Fine Uploader"],
  ["total-chunk", "Syncfusion"],
]);

/** Fields that hold the number in JSON, and the name of its member. */
const JSON_FIELDS: ReadonlyMap<string, string> = new Map([
  ["chunkmetadata", "TotalCount"], // DevExtreme
  ["metadata", "totalChunks"], // Kendo UI
]);

/** ng-file-upload sends the sizes of the file and of the chunk instead of a count. */
const TOTAL_SIZE = "_totalSize";
const CHUNK_SIZE = "_currentChunkSize";

/**
 * Detects a request that carries one chunk of a file, by the fields of its form or the parameters
 * of its target. A chunk stored by itself would get a permanent link as if it were the file.
 */
export class ChunkFields {
  #totalSize: number | null = null;
  #chunkSize: number | null = null;

  /** Whether {@link check} needs the value of a field. */
  reads(name: string): boolean {
    const lower = name.toLowerCase();
    return COUNT_FIELDS.has(lower) || JSON_FIELDS.has(lower) || name === TOTAL_SIZE || name === CHUNK_SIZE;
  }

  /** Examines one field. @throws FixityError `malformed-form` */
  check(name: string, value: string): void {
    const lower = name.toLowerCase();
    const member = JSON_FIELDS.get(lower);
    const count = member === undefined ? value : memberOf(value, member);
    const isCount = member !== undefined || COUNT_FIELDS.has(lower);
    if (isCount && (numberIn(count) ?? 0) > 1) throw oneChunk(name, `${numberIn(count)} chunks`);
    if (name === TOTAL_SIZE) this.#totalSize = numberIn(value);
    if (name === CHUNK_SIZE) this.#chunkSize = numberIn(value);
    if (this.#totalSize === null || this.#chunkSize === null || this.#chunkSize >= this.#totalSize) return;
    throw oneChunk(name, `${this.#totalSize} bytes, of which this request has ${this.#chunkSize}`);
  }
}

/**
 * {@link ChunkFields} for uploaders that put the fields into the query.
 *
 * @throws FixityError `malformed-form`
 */
export function refuseChunkOfQuery(query: Iterable<readonly [name: string, value: string]>): void {
  const fields = new ChunkFields();
  for (const [name, value] of query) fields.check(name, value);
}

function oneChunk(name: string, what: string): FixityError {
  return new FixityError(
    "malformed-form",
    `The field "${name}" says that the file consists of ${what}. Disable chunking in the uploader, or use a resumable upload (tus).`,
    { facts: { field: name } },
  );
}

function numberIn(text: string): number | null {
  return /^\s*\d{1,15}\s*$/.test(text) ? Number(text) : null;
}

function memberOf(text: string, member: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return "";
    return String((value as Record<string, unknown>)[member]);
  } catch {
    return "";
  }
}
