import { FixityError } from "../../../core/errors.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  UploadStore,
  UploadSummary,
} from "../../../core/upload-store.ts";
import { Lease, Takeovers } from "../../takeover.ts";
import type { S3Client } from "../api/client.ts";
import { ageOf, listObjects } from "../api/listing.ts";
import type { BufferPool } from "../buffers/buffer-pool.ts";
import type { Layout } from "../layout.ts";
import type { ResolvedS3Options } from "../options.ts";
import type { Publisher } from "../publish/publisher.ts";
import { protect } from "../send/multipart-upload.ts";
import { type PartLimits, PartPlan } from "../send/part-writer.ts";
import { toFixityError, withStoreErrors } from "../store-error.ts";
import { Fence, recordTarget } from "./fence.ts";
import {
  endedState,
  isEndedSize,
  newState,
  newToken,
  type Records,
  type RecordState,
  type StoredRecord,
} from "./records.ts";
import { S3HeldUpload } from "./s3-held-upload.ts";
import { UploadWriter } from "./upload-writer.ts";

/**
 * What `read` returns: the record with what is needed to take the upload over without reading it
 * again.
 */
class ReadRecord implements ReadUpload {
  readonly record: string;
  readonly offset: number;
  readonly isHeld: boolean;
  readonly stored: StoredRecord;

  constructor(stored: StoredRecord) {
    const { text, offset, holder } = stored.state;
    this.record = text;
    this.offset = offset;
    this.isHeld = holder !== null;
    this.stored = stored;
  }
}

export interface S3UploadsOptions {
  readonly client: S3Client;
  readonly layout: Layout;
  readonly pool: BufferPool;
  readonly publisher: Publisher;
  readonly records: Records;
  readonly options: ResolvedS3Options;
  /** Part limits of new uploads. */
  readonly limits: PartLimits;
}

/**
 * Uploads that this process, or another over the same bucket, can resume. The pieces:
 *
 * - `records.ts`: one record object per upload, replaced under `If-Match`. What it does not name
 *   does not count.
 * - `fence.ts`: taking an upload over, and a holder's lease on its record.
 * - `upload-writer.ts`: the bytes, as parts of one multipart upload and a tail.
 * - `s3-held-upload.ts`: the calls of the port, in terms of these and of the publisher.
 *
 * After a crash the record names everything that counts. Parts and tails that it does not name are
 * overwritten by the next holder, or removed by the collector once they are old.
 */
export class S3Uploads implements UploadStore {
  readonly #options: S3UploadsOptions;
  readonly #records: Records;
  readonly #limits: PartLimits;
  readonly #takeovers = new Takeovers();

  constructor(options: S3UploadsOptions) {
    this.#options = options;
    this.#records = options.records;
    this.#limits = options.limits;
  }

  async create(id: UploadId, record: string, options: CreateUploadOptions = {}): Promise<void> {
    const state = newState(record, this.#limits, options);
    await this.#create(id, options.isEnded === true ? endedState(state, "concluded", record) : state, options);
  }

  async createHeld(id: UploadId, record: string, options: CreateUploadOptions = {}): Promise<HeldUpload> {
    const lease = new Lease(newToken());
    const state = { ...newState(record, this.#limits, options), holder: lease.name };
    const etag = await this.#create(id, state, options);
    const { log } = this.#options.options;
    this.#takeovers.register(id, lease);
    return this.#hold(new Fence(this.#records, id, { state, etag, lease, log }));
  }

  /** @returns the record's entity tag */
  async #create(id: UploadId, state: RecordState, { signal, length }: CreateUploadOptions): Promise<string> {
    signal?.throwIfAborted();
    assertFits(this.#limits, length);
    const etag = await withStoreErrors(() => this.#records.create(id, state));
    if (etag === null) throw new FixityError("internal-error", "There is an upload with this id already.");
    return etag;
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const found = await this.#records.read(id, signal);
      if (found === null) return null;
      if (found.state.ended !== "removed") return new ReadRecord(found);
      // The process that removed the upload died before it removed the record.
      await this.#records.remove(id);
      return null;
    });
  }

  async hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | EndedUpload | null> {
    const { log } = this.#options.options;
    const target = recordTarget(this.#records, id, {
      read: read instanceof ReadRecord ? read.stored : null,
      signal,
      log,
    });
    const taken = await withStoreErrors(() => this.#takeovers.takeOver(id, target, signal));
    if (taken === null) return null;
    if (taken instanceof Fence) return this.#hold(taken);
    const remove = () => withStoreErrors(() => this.#records.remove(id));
    return { status: "ended", record: taken.state.text, remove };
  }

  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary, void, undefined> {
    signal?.throwIfAborted();
    const { client, layout } = this.#options;
    try {
      for await (const { items, now } of listObjects(client, layout.uploads, { signal })) {
        for (const { key, size, modified } of items) {
          signal?.throwIfAborted();
          const id = layout.uploadIdOf(key);
          if (id !== null) yield { id, age: ageOf(modified, now), isEnded: isEndedSize(size) };
        }
      }
    } catch (error) {
      throw toFixityError(error);
    }
  }

  #hold(fence: Fence): HeldUpload {
    const { layout, publisher } = this.#options;
    const writer = new UploadWriter(fence.id, fence.state, this.#options);
    return new S3HeldUpload(fence, writer, { publisher, unprotect: protect(layout.record(fence.id)) });
  }
}

/** @throws FixityError `size-limit-exceeded` */
function assertFits(limits: PartLimits, length: number | undefined): void {
  void new PartPlan(limits, length);
}
