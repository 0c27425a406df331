import type { UploadId } from "../../../core/upload-id.ts";
import { expectTag } from "../answers.ts";
import type { Payload, S3Client } from "../client.ts";
import type { Layout } from "../layout.ts";
import { deleteObject, headObject } from "../objects.ts";
import { Attempts } from "../retry.ts";
import { failedWith, type S3Error } from "../s3-error.ts";
import { sha256Hex } from "../signer.ts";
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

/** How a server wants a condition to be written. */
type Manner =
  /** `If-Match: "<tag>"`, as it is written (RFC 9110, section 13.1.1). */
  | "quoted"
  /** `If-Match: <tag>`: Ceph compares the field with the bare tag. */
  | "bare"
  /** It knows no conditions; a look beforehand has to do. */
  | "none";

/** The status by which servers say that they know no conditions on a PUT (Backblaze B2). */
const NO_CONDITIONS = 501;

/**
 * The records of uploads. Each is replaced only by who has read it last (`If-Match`), so that of two instances that hold an
 * upload one is shut out. A server that takes a condition and does not keep to it cannot be told from here.
 */
export class Records {
  readonly #client: S3Client;
  readonly #layout: Layout;
  #manner: Manner = "quoted";

  constructor(client: S3Client, layout: Layout) {
    this.#client = client;
    this.#layout = layout;
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
    return (await headObject(this.#client, this.#layout.record(id), signal))?.etag ?? null;
  }

  /** Writes the first record. @returns its entity tag; `null` where there is a record already */
  async create(id: UploadId, state: UploadState): Promise<string | null> {
    if (this.#manner !== "none") {
      const written = await this.#put(id, state, { "if-none-match": "*" });
      if (typeof written === "string") return written;
      if (written.status !== NO_CONDITIONS) {
        const current = await this.read(id);
        if (current === null) throw written;
        // it was there, or the answer to the first attempt was lost
        return current.state.revision === state.revision ? current.etag : null;
      }
    }
    if ((await this.read(id)) !== null) return null;
    return this.#putAnyway(id, state);
  }

  /**
   * Puts `state` in the place of the record with this tag.
   *
   * @throws S3Error where it is not known whether it was written; a later read tells by the revision
   */
  async replace(id: UploadId, etag: string, state: UploadState): Promise<Replaced> {
    const attempts = new Attempts(this.#client.limits);
    let manner = this.#manner;
    while (manner !== "none") {
      const written = await this.#put(id, state, { "if-match": asTag(etag, manner) });
      if (typeof written === "string") {
        this.#manner = manner;
        return { isWritten: true, etag: written };
      }
      const current = await this.read(id);
      // the answer to an attempt was lost
      if (current?.state.revision === state.revision) return { isWritten: true, etag: current.etag };
      if (current?.etag !== etag) return { isWritten: false, current };
      // The condition holds, and the server does not see it: it reads it otherwise, or has a reason of its own.
      if (written.status === NO_CONDITIONS) break;
      if (manner !== this.#manner && !(await attempts.another(written))) throw written;
      manner = manner === "quoted" ? "bare" : "quoted";
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
      // AWS says 404 to If-Match where there is no object
      if (failedWith(error, 412, 404) && error.code !== "NoSuchBucket") return error;
      if (!failedWith(error, NO_CONDITIONS) || Object.keys(condition).length === 0) throw error;
      this.#manner = "none";
      return error;
    }
  }

  async #putAnyway(id: UploadId, state: UploadState): Promise<string> {
    const written = await this.#put(id, state, {});
    if (typeof written === "string") return written;
    throw written;
  }
}

/** An entity tag as it stands in a condition. */
function asTag(etag: string, manner: "quoted" | "bare"): string {
  return manner === "quoted" ? etag : etag.replaceAll('"', "");
}

function payloadOf(state: UploadState): Payload {
  const bytes = formatState(state);
  return { chunks: [bytes], length: bytes.length, digest: sha256Hex([bytes]) };
}
