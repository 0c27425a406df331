import { delay } from "../../../base/abort-race.ts";
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
import type { S3Client } from "../api/client.ts";
import { ageOf, listObjects } from "../api/listing.ts";
import type { BufferPool } from "../buffers/buffer-pool.ts";
import { withStoreErrors, toFixityError } from "../store-error.ts";
import type { Layout } from "../layout.ts";
import type { ResolvedS3Options } from "../options.ts";
import type { Publisher } from "../publish/publisher.ts";
import { protect } from "../send/multipart-upload.ts";
import { type PartLimits, PartPlan } from "../send/part-writer.ts";
import { Fence, takeOver, TAKEOVER_GRACE_MS } from "./fence.ts";
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

/** Tokens that are remembered of holders that could not release their uploads. */
const MAX_FORMER_TOKENS = 1_000;

/** What `read` returns: the record with what is needed to take the upload over without reading it again. */
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

interface Hold {
  readonly upload: S3HeldUpload;
  readonly fence: Fence;
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
 * - `records.ts`: one record object per upload, replaced under `If-Match`. What it does not name does
 *   not count.
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
  /** What is held in this process, by id. */
  readonly #holds = new Map<string, Hold>();
  /** The last takeover of each upload that is running in this process, by id; none of them rejects. */
  readonly #takeovers = new Map<string, Promise<void>>();
  /** Tokens of holders in this process that have let go but may still stand in the record, by id. */
  readonly #formerTokens = new Map<string, string>();

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
    const token = newToken();
    const state = { ...newState(record, this.#limits, options), holder: token };
    const etag = await this.#create(id, state, options);
    const { log } = this.#options.options;
    return this.#hold(new Fence(this.#records, id, { state, etag, token, log }));
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

  /** Calls for one upload run one after another; the last one has the upload. */
  async hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | EndedUpload | null> {
    signal?.throwIfAborted();
    const before = this.#takeovers.get(id.hex);
    const { promise: takeover, resolve: end } = Promise.withResolvers<void>();
    this.#takeovers.set(id.hex, takeover);
    try {
      await before;
      signal?.throwIfAborted();
      // A holder that had to be waited for has written since.
      const isFresh = before === undefined && !this.#holds.has(id.hex);
      const known = isFresh && read instanceof ReadRecord ? read.stored : null;
      return await withStoreErrors(() => this.#take(id, known, signal));
    } finally {
      end();
      if (this.#takeovers.get(id.hex) === takeover) this.#takeovers.delete(id.hex);
    }
  }

  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary, void, undefined> {
    signal?.throwIfAborted();
    const { client, layout } = this.#options;
    try {
      for await (const { items, now } of listObjects(client, layout.uploads, signal)) {
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

  async #take(
    id: UploadId,
    read: StoredRecord | null,
    signal: AbortSignal | undefined,
  ): Promise<HeldUpload | EndedUpload | null> {
    const hold = this.#holds.get(id.hex);
    if (hold?.fence.state.ended === "concluded") return this.#ended(id, hold.fence.state);
    if (hold !== undefined) await this.#dismiss(id, hold, signal);
    const formerToken = this.#formerTokens.get(id.hex) ?? null;
    const { log } = this.#options.options;
    const taken = await takeOver(this.#records, id, { formerToken, read, signal, log });
    this.#formerTokens.delete(id.hex);
    if (taken === null || taken instanceof Fence) return taken && this.#hold(taken);
    return this.#ended(id, taken.state);
  }

  #ended(id: UploadId, { text }: RecordState): EndedUpload {
    return { status: "ended", record: text, remove: () => withStoreErrors(() => this.#records.remove(id)) };
  }

  #hold(fence: Fence): HeldUpload {
    const { id } = fence;
    const { layout, publisher } = this.#options;
    const writer = new UploadWriter(id, fence.state, this.#options);
    const upload = new S3HeldUpload(fence, writer, { publisher, unprotect: protect(layout.record(id)) });
    const hold = { fence, upload };
    this.#holds.set(id.hex, hold);
    void upload.released.then(() => this.#noteReleased(id, hold));
    return upload;
  }

  /** Asks the holder in this process to let go, and fences it off after its grace. */
  async #dismiss(id: UploadId, hold: Hold, signal: AbortSignal | undefined): Promise<void> {
    const waiting = new AbortController();
    const { fence, upload } = hold;
    fence.ask();
    void upload.released.then(() => waiting.abort());
    const over = signal === undefined ? waiting.signal : AbortSignal.any([waiting.signal, signal]);
    await delay(TAKEOVER_GRACE_MS, over).catch(() => null);
    signal?.throwIfAborted();
    fence.lose();
    this.#noteReleased(id, hold);
  }

  #noteReleased(id: UploadId, { fence }: Hold): void {
    if (this.#holds.get(id.hex)?.fence !== fence) return;
    this.#holds.delete(id.hex);
    if (fence.state.holder !== fence.token) return;
    this.#formerTokens.set(id.hex, fence.token);
    const [oldest] = this.#formerTokens.keys();
    if (this.#formerTokens.size > MAX_FORMER_TOKENS && oldest !== undefined) this.#formerTokens.delete(oldest);
  }
}

/** @throws FixityError `size-limit-exceeded` */
function assertFits(limits: PartLimits, length: number | undefined): void {
  void new PartPlan(limits, length);
}
