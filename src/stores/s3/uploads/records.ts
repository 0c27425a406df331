import { forEachConcurrent } from "../../../base/map-concurrent.ts";
import { FixityError } from "../../../core/errors.ts";
import type { StageOptions } from "../../../core/staged-blob.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type { S3Client } from "../api/client.ts";
import { listObjects } from "../api/listing.ts";
import type { MultipartId, Part } from "../api/multipart.ts";
import { deleteObject, headObject } from "../api/objects.ts";
import {
  ConditionalObjects,
  newRevision,
  type NotWritten,
  type StoredState,
  type Written,
} from "../conditional-object.ts";
import type { Conditions } from "../conditions.ts";
import type { Layout } from "../layout.ts";
import type { PartLimits } from "../send/part-writer.ts";

/**
 * Everything that is known of an upload, in one object of the bucket. Replacing that object is what
 * makes a save atomic: parts and tails that the record does not name do not count, stored or not.
 */
export interface RecordState {
  /** The format. A later version of fixity may have to read this one. */
  readonly version: 1;
  /** Different in every record ever written, so that a writer recognizes its own. */
  readonly revision: string;
  /**
   * The token of the holder, which may have more bytes than are saved; `null` once it has released
   * the upload.
   */
  readonly holder: string | null;
  /** The holder is asked to release the upload. */
  readonly isWanted: boolean;
  /** The engine's record. */
  readonly text: string;
  /** Saved bytes: those of `parts` and `tail`. */
  readonly offset: number;
  /** The announced digest, in hex. */
  readonly digest: string | null;
  /** Announced bytes. */
  readonly length: number | null;
  readonly mediaType: string | null;
  /**
   * When the announced blob was looked for and not found: milliseconds since 1970, by the clock of
   * that instance.
   */
  readonly absentAt?: number;
  /**
   * What the sizes of parts follow from, the same for all holders: a part that is sent again then
   * has the same bytes under the same number.
   */
  readonly limits: PartLimits;
  /** The multipart upload, once there is one. */
  readonly upload: MultipartId | null;
  readonly parts: readonly Part[];
  readonly tail: Tail | null;
  /**
   * Set before the completion is sent. From then on it may be running, for this holder or an
   * earlier one: no bytes are added, and the multipart upload is never aborted. `last` is the tail,
   * sent as the last part.
   */
  readonly completing: { readonly last: Part | null } | null;
  /** A holder was fenced off or has died: there may be parts and tails that no record names. */
  readonly isUntidy: boolean;
  /** Only this record is left; of a removed upload, not even that counts. */
  readonly ended: "concluded" | "removed" | null;
}

/** The last bytes of an upload, which do not fill a part yet: an object of their own. */
export interface Tail {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in hex. */
  readonly digest: string;
}

/** The first record of an upload. */
export function newState(text: string, limits: PartLimits, options: StageOptions): RecordState {
  const { digest, length, mediaType, isKnownAbsent = false } = options;
  return {
    version: 1,
    revision: newToken(),
    holder: null,
    isWanted: false,
    text,
    offset: 0,
    digest: digest?.hex ?? null,
    length: length ?? null,
    mediaType: mediaType ?? null,
    ...(isKnownAbsent && { absentAt: Date.now() }),
    limits,
    upload: null,
    parts: [],
    tail: null,
    completing: null,
    isUntidy: false,
    ended: null,
  };
}

/** The last record of an upload, which no longer names anything. */
export function endedState(state: RecordState, ended: "concluded" | "removed", text: string): RecordState {
  return {
    ...state,
    text,
    ended,
    holder: null,
    isWanted: false,
    offset: 0,
    upload: null,
    parts: [],
    tail: null,
    completing: null,
    isUntidy: false,
  };
}

/** A new token of a holder, or a new revision. */
export function newToken(): string {
  return newRevision();
}

/**
 * The record of a concluded upload fills blocks of this size (bytes), and no other record does, so
 * a listing shows by its sizes which uploads have ended. Records of older versions may have any
 * size. The size only decides what need not be read: nothing is removed because of it.
 */
const ENDED_BLOCK_BYTES = 4096;

/** A record as it is stored: JSON, and the spaces that {@link ENDED_BLOCK_BYTES} requires. */
export function formatState(state: RecordState): Buffer {
  const json = Buffer.from(JSON.stringify(state));
  const excess = json.length % ENDED_BLOCK_BYTES;
  const spaces = state.ended === "concluded" ? (ENDED_BLOCK_BYTES - excess) % ENDED_BLOCK_BYTES : excess === 0 ? 1 : 0;
  return Buffer.concat([json, Buffer.alloc(spaces, " ")]);
}

/** Whether a record of this size (bytes) is probably that of a concluded upload. */
export function isEndedSize(size: number): boolean {
  return size > 0 && size % ENDED_BLOCK_BYTES === 0;
}

/** @throws FixityError `store-unavailable` for a record of a later version, or a damaged one */
export function parseState(text: string): RecordState {
  let state: RecordState;
  try {
    state = JSON.parse(text) as RecordState;
  } catch (cause) {
    throw new FixityError("store-unavailable", "The record of the upload cannot be parsed.", { cause });
  }
  if (state.version === 1) return state;
  throw new FixityError("store-unavailable", "The upload was begun by another version of this service.");
}

/** A record as it was read. */
export type StoredRecord = StoredState<RecordState>;

/**
 * The result of a conditional write. If it is not written, another writer has replaced the record,
 * or removed it.
 */
export type Replaced = Written | NotWritten<RecordState>;

/** Records that {@link Records.names} reads at the same time. */
const CONCURRENT_READS_MAX = 16;

/**
 * The records of uploads. Only the writer that has read a record last replaces it, so of two
 * instances that hold an upload one is fenced off. Where the server never meets the condition, the
 * record is read again before it is replaced, which leaves a gap between the two. A server that
 * accepts the condition and ignores it is recognized only once this process has written a document
 * under a condition; `fixity doctor` reports it.
 */
export class Records {
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #conditions: Conditions;
  readonly #objects: ConditionalObjects<RecordState>;

  constructor(client: S3Client, layout: Layout, conditions: Conditions) {
    this.#client = client;
    this.#layout = layout;
    this.#conditions = conditions;
    this.#objects = new ConditionalObjects(client, conditions, {
      contentType: "application/json",
      format: formatState,
      parse: parseState,
    });
  }

  /** `null` if there is none. */
  async read(id: UploadId, signal?: AbortSignal): Promise<StoredRecord | null> {
    return this.#objects.read(this.#layout.record(id), { signal });
  }

  /** The entity tag alone. */
  async tagOf(id: UploadId, signal?: AbortSignal): Promise<string | null> {
    return (await headObject(this.#client, this.#layout.record(id), { signal, retryPolicy: "short" }))?.etag ?? null;
  }

  /**
   * Writes the first record.
   *
   * @returns its entity tag; `null` if there is a record already
   */
  async create(id: UploadId, state: RecordState): Promise<string | null> {
    const key = this.#layout.record(id);
    const outcome = await this.#objects.create(key, state);
    if (outcome.isWritten) return outcome.etag;
    if (outcome.current !== null) return null;
    // The id is random and no client knows it yet, so no other writer can interfere.
    const etag = await this.#objects.write(key, state);
    if (outcome.refusal !== null) this.#conditions.noteIfAbsentRefused(outcome.refusal);
    return etag;
  }

  /**
   * Replaces the record with this entity tag.
   *
   * @throws S3Error if it is not known whether it was replaced; a later read shows it by the
   *   revision
   */
  async replace(id: UploadId, etag: string, state: RecordState): Promise<Replaced> {
    return this.#objects.replace(this.#layout.record(id), etag, state);
  }

  /** Removes a record, even if a holder has the upload. */
  async remove(id: UploadId): Promise<void> {
    await deleteObject(this.#client, this.#layout.record(id));
  }

  /**
   * Everything that the records name: ids of multipart uploads, keys of tails and of staged
   * objects. Reads every record, so it is called only if something looks abandoned.
   *
   * @throws if one record cannot be read: it could name anything
   */
  async names(signal?: AbortSignal): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for await (const { items } of listObjects(this.#client, this.#layout.uploads, { signal })) {
      const ids = items.map(({ key }) => this.#layout.uploadIdOf(key)).filter((id) => id !== null);
      await forEachConcurrent(ids, CONCURRENT_READS_MAX, async (id) => {
        const state = (await this.read(id, signal))?.state;
        if (state?.tail) names.add(state.tail.key);
        if (state?.upload) names.add(state.upload.uploadId).add(state.upload.key);
      });
    }
    return names;
  }
}
