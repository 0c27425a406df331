import type { UploadId } from "../../../core/upload-id.ts";
import { expectTag } from "../api/answers.ts";
import type { Payload, S3Client } from "../api/client.ts";
import { type Conditions, mayRefuseCondition, tagIn } from "../conditions.ts";
import type { Layout } from "../layout.ts";
import { deleteObject, headObject } from "../api/objects.ts";
import { Attempts } from "../api/retry.ts";
import { failedWith, type S3Error } from "../api/s3-error.ts";
import { sha256Hex } from "../api/signer.ts";
import { formatState, parseState, type UploadState } from "./upload-state.ts";

/** A record as it lies in the bucket. */
export interface StoredRecord {
  readonly state: UploadState;
  readonly etag: string;
}

/** How a conditional write went. */
export type Replaced =
  | { readonly isWritten: true; readonly etag: string }
  /** Somebody else has written, or removed it. */
  | { readonly isWritten: false; readonly current: StoredRecord | null };

/**
 * The records of uploads. A record is replaced only by the writer that has read it last (`If-Match`), so that of two
 * instances that hold an upload one is fenced off. Where the server never meets the condition, the record is read again
 * before it is replaced, which leaves a gap between the two. A server that takes the condition and ignores it cannot be
 * recognised from here; `fixity doctor` reports it.
 */
export class Records {
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #conditions: Conditions;

  constructor(client: S3Client, layout: Layout, conditions: Conditions) {
    this.#client = client;
    this.#layout = layout;
    this.#conditions = conditions;
  }

  /** `null` where there is none. */
  async read(id: UploadId, signal?: AbortSignal): Promise<StoredRecord | null> {
    const request = { operation: "GetObject", method: "GET", key: this.#layout.record(id), signal };
    try {
      return await this.#client.call(request, (answer) => ({
        etag: expectTag(request.operation, answer),
        state: parseState(answer.text),
      }));
    } catch (error) {
      if (failedWith(error, 404) && error.code !== "NoSuchBucket") return null;
      throw error;
    }
  }

  /** The entity tag alone. */
  async tagOf(id: UploadId, signal?: AbortSignal): Promise<string | null> {
    return (await headObject(this.#client, this.#layout.record(id), { signal, patience: "reader" }))?.etag ?? null;
  }

  /**
   * Writes the first record.
   *
   * @returns its entity tag; `null` if there is a record already
   */
  async create(id: UploadId, state: UploadState): Promise<string | null> {
    const conditions = this.#conditions;
    const written = conditions.usesIfAbsent ? await this.#put(id, state, { "if-none-match": "*" }) : null;
    if (typeof written === "string") {
      conditions.noteIfAbsentMet();
      return written;
    }
    const current = await this.read(id);
    // The answer to the first attempt may have been lost.
    if (current !== null) return current.state.revision === state.revision ? current.etag : null;
    // The id is random and nobody has been told it yet, so no other writer can come in between.
    const etag = await this.#putAnyway(id, state);
    if (written !== null) conditions.noteIfAbsentRefused(written);
    return etag;
  }

  /**
   * Puts `state` in the place of the record with this tag.
   *
   * @throws S3Error if it is not known whether it was written; a later read tells by the revision
   */
  async replace(id: UploadId, etag: string, state: UploadState): Promise<Replaced> {
    const conditions = this.#conditions;
    const attempts = new Attempts(this.#client.limits, { closed: this.#client.closed });
    while (conditions.usesIfMatch) {
      const first = conditions.form;
      let refusal: S3Error | null = null;
      for (const form of [first, first === "quoted" ? "bare" : "quoted"] as const) {
        const written = await this.#put(id, state, { "if-match": tagIn(form, etag) });
        if (typeof written === "string") {
          conditions.form = form;
          return { isWritten: true, etag: written };
        }
        const current = await this.read(id);
        // The answer to an attempt was lost.
        if (current?.state.revision === state.revision) return { isWritten: true, etag: current.etag };
        if (current?.etag !== etag) return { isWritten: false, current };
        refusal = written;
      }
      // The condition holds as far as can be read, and the server refuses it in either form.
      if (refusal === null || (await conditions.isIfMatchUseless(refusal))) break;
      if (!(await attempts.another(refusal))) throw refusal;
    }
    const current = await this.read(id);
    if (current?.etag !== etag) return { isWritten: false, current };
    return { isWritten: true, etag: await this.#putAnyway(id, state) };
  }

  /** Removes a record, whoever holds it. */
  async remove(id: UploadId): Promise<void> {
    await deleteObject(this.#client, this.#layout.record(id));
  }

  /** @returns the entity tag, or why the condition was refused */
  async #put(id: UploadId, state: UploadState, condition: Readonly<Record<string, string>>): Promise<string | S3Error> {
    const operation = "PutObject";
    const headers = { "content-type": "application/json", ...condition };
    const request = { operation, method: "PUT", key: this.#layout.record(id), headers, body: payloadOf(state) };
    try {
      return await this.#client.call(request, (answer) => expectTag(operation, answer));
    } catch (error) {
      if (Object.keys(condition).length === 0) throw error;
      // AWS answers 404 to If-Match if there is no object.
      if (mayRefuseCondition(error) || (failedWith(error, 404) && error.code !== "NoSuchBucket")) return error;
      throw error;
    }
  }

  async #putAnyway(id: UploadId, state: UploadState): Promise<string> {
    const written = await this.#put(id, state, {});
    if (typeof written === "string") return written;
    throw written;
  }
}

function payloadOf(state: UploadState): Payload {
  const bytes = formatState(state);
  return { chunks: [bytes], length: bytes.length, digest: sha256Hex([bytes]) };
}
