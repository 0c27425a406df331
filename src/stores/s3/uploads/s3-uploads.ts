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
import { faultsTold, storeFault } from "../faults.ts";
import { ageOf, listObjects } from "../api/listing.ts";
import { type PartLimits, PartPlan } from "../send/part-writer.ts";
import { claimUpload, GRACE } from "./claim.ts";
import { Fence } from "./fence.ts";
import { S3HeldUpload } from "./s3-held-upload.ts";
import type { StoredRecord } from "./records.ts";
import { endedState, isEndedSize, newState, newToken, type UploadState } from "./upload-state.ts";
import type { UploadTools } from "./upload-tools.ts";

/** Holds that are remembered of those that could not be released. */
const REMEMBERED = 1_000;

/** What `read` returns: the record with what is needed to take the upload without reading it again. */
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

/** Uploads that can be resumed, by this process or another over the same bucket. */
export class S3Uploads implements UploadStore {
  readonly #tools: UploadTools;
  readonly #limits: PartLimits;
  /** What is held here, by id. */
  readonly #holds = new Map<string, Hold>();
  /** The last request for each upload that is being taken over; never rejects. */
  readonly #turns = new Map<string, Promise<void>>();
  /** Holds of this process that may still stand in the record, and need not be waited for. */
  readonly #former = new Map<string, string>();

  /** @param limits of new uploads */
  constructor(tools: UploadTools, limits: PartLimits) {
    this.#tools = tools;
    this.#limits = limits;
  }

  async create(id: UploadId, record: string, options: CreateUploadOptions = {}): Promise<void> {
    const state = newState(record, this.#limits, options);
    await this.#create(id, options.isEnded === true ? endedState(state, "concluded", record) : state, options);
  }

  async createHeld(id: UploadId, record: string, options: CreateUploadOptions = {}): Promise<HeldUpload> {
    const token = newToken();
    const state = { ...newState(record, this.#limits, options), holder: token };
    const etag = await this.#create(id, state, options);
    const {
      records,
      options: { log },
    } = this.#tools;
    return this.#hand(new Fence(records, id, { state, etag, token, log }));
  }

  /** @returns the record's entity tag */
  async #create(id: UploadId, state: UploadState, { signal, length }: CreateUploadOptions): Promise<string> {
    signal?.throwIfAborted();
    assertFits(this.#limits, length);
    const etag = await faultsTold(() => this.#tools.records.create(id, state));
    if (etag === null) throw new FixityError("internal-error", "There is an upload with this id already.");
    return etag;
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const found = await this.#tools.records.read(id, signal);
      if (found === null) return null;
      if (found.state.ended !== "removed") return new ReadRecord(found);
      // its remover died before the end
      await this.#tools.records.remove(id);
      return null;
    });
  }

  /** One at a time for each upload, in their order: the last one is the one that has it. */
  async hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | EndedUpload | null> {
    signal?.throwIfAborted();
    const before = this.#turns.get(id.hex);
    const { promise: turn, resolve: end } = Promise.withResolvers<void>();
    this.#turns.set(id.hex, turn);
    try {
      await before;
      signal?.throwIfAborted();
      // whoever had to be waited for has written since
      const isFresh = before === undefined && !this.#holds.has(id.hex);
      const known = isFresh && read instanceof ReadRecord ? read.stored : null;
      return await faultsTold(() => this.#take(id, known, signal));
    } finally {
      end();
      if (this.#turns.get(id.hex) === turn) this.#turns.delete(id.hex);
    }
  }

  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary, void, undefined> {
    signal?.throwIfAborted();
    const { client, layout } = this.#tools;
    try {
      for await (const { items, now } of listObjects(client, layout.uploads, signal)) {
        for (const { key, size, modified } of items) {
          signal?.throwIfAborted();
          const id = layout.uploadIdOf(key);
          if (id !== null) yield { id, age: ageOf(modified, now), isEnded: isEndedSize(size) };
        }
      }
    } catch (error) {
      throw storeFault(error);
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
    const former = this.#former.get(id.hex) ?? null;
    const { records, options } = this.#tools;
    const claimed = await claimUpload(records, id, { former, read, signal, log: options.log });
    this.#former.delete(id.hex);
    if (claimed === null || claimed instanceof Fence) return claimed && this.#hand(claimed);
    return this.#ended(id, claimed.state);
  }

  #ended(id: UploadId, { text }: UploadState): EndedUpload {
    return { status: "ended", record: text, remove: () => faultsTold(() => this.#tools.records.remove(id)) };
  }

  #hand(fence: Fence): HeldUpload {
    const { id } = fence;
    const taken = { fence, upload: new S3HeldUpload(fence, this.#tools) };
    this.#holds.set(id.hex, taken);
    void taken.upload.released.then(() => this.#noteReleased(id, taken));
    return taken.upload;
  }

  /** Asks who holds the upload here to let go, and shuts him out after a second. */
  async #dismiss(id: UploadId, hold: Hold, signal: AbortSignal | undefined): Promise<void> {
    const waiting = new AbortController();
    const { fence, upload } = hold;
    fence.ask();
    void upload.released.then(() => waiting.abort());
    const over = signal === undefined ? waiting.signal : AbortSignal.any([waiting.signal, signal]);
    await delay(GRACE, over).catch(() => null);
    signal?.throwIfAborted();
    fence.lose();
    this.#noteReleased(id, hold);
  }

  #noteReleased(id: UploadId, { fence }: Hold): void {
    if (this.#holds.get(id.hex)?.fence !== fence) return;
    this.#holds.delete(id.hex);
    if (fence.state.holder !== fence.token) return;
    this.#former.set(id.hex, fence.token);
    const [oldest] = this.#former.keys();
    if (this.#former.size > REMEMBERED && oldest !== undefined) this.#former.delete(oldest);
  }
}

/** @throws FixityError `size-limit-exceeded` */
function assertFits(limits: PartLimits, length: number | undefined): void {
  void new PartPlan(limits, length);
}
