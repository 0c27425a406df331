import { forEachConcurrent } from "../../base/map-concurrent.ts";
import { UploadTrace } from "../diagnostics.ts";
import type { Collected } from "../store.ts";
import type { UploadId } from "../upload-id.ts";
import type { ReadUpload, UploadStore } from "../upload-store.ts";
import { isSmallAndIdle, type RunningAppends } from "./open-uploads.ts";
import { isAbandoned, isExpired, mayBeDue, parseRecord, readableRecord, type UploadRecord } from "./upload-record.ts";

/** Uploads that a collection examines concurrently. Each waits for the store most of the time. */
const COLLECTION_CONCURRENCY = 16;

/** What removals share with their engine. */
interface RemovalsOptions {
  /** Milliseconds for which an upload is kept after its last save. */
  readonly expiryMs: number;
  readonly appends: RunningAppends;
  /** Whether completing an upload calls the hook that the upload may wait for. */
  readonly runsHook: boolean;
  /** Completes a sealed upload, and concludes a damaged one. */
  readonly complete: (id: UploadId, signal: AbortSignal) => Promise<unknown>;
  readonly onRemoved: (id: UploadId) => void;
}

/**
 * Uploads that no request continues: expired ones are removed, abandoned ones completed, and small
 * idle ones evicted to make room for others. Each is held and its record read once more before it
 * is removed.
 */
export class Removals {
  readonly #store: UploadStore;
  readonly #options: RemovalsOptions;

  constructor(store: UploadStore, options: RemovalsOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * Removes expired uploads and completes abandoned ones; reads only records whose age suggests it.
   *
   * @throws the first failure, once all uploads have been examined
   */
  async collect(signal: AbortSignal): Promise<Collected> {
    let total: Collected = { staged: 0, bytes: 0 };
    const failures: unknown[] = [];
    await forEachConcurrent(this.#store.list(signal), COLLECTION_CONCURRENCY, async (summary) => {
      if (!mayBeDue(summary, this.#options.expiryMs)) return;
      try {
        const { staged, bytes } = await this.#collectOne(summary.id, signal);
        total = { staged: total.staged + staged, bytes: total.bytes + bytes };
      } catch (reason) {
        signal.throwIfAborted();
        failures.push(reason);
      }
    });
    if (failures.length > 0) throw failures[0];
    return total;
  }

  async #collectOne(id: UploadId, signal: AbortSignal): Promise<Collected> {
    // Its append renews it, even if it looks expired at the moment.
    if (this.#options.appends.has(id)) return { staged: 0, bytes: 0 };
    const read = await this.#store.read(id, signal);
    if (read === null) return { staged: 0, bytes: 0 };
    const record = readableRecord(read.record);
    if (record !== null && isExpired(record)) {
      const bytes = await this.#removeIf(id, isExpired, { read, signal });
      if (bytes === null || record.outcome !== null) return { staged: 0, bytes: 0 };
      new UploadTrace("resumable").removed("expired", bytes);
      return { staged: 1, bytes };
    }
    if (record === null || (isAbandoned(record) && (this.#options.runsHook || !record.hooked))) {
      await this.#options.complete(id, signal);
    }
    return { staged: 0, bytes: 0 };
  }

  /** Removes an upload that was abandoned with few bytes. @returns whether the upload is gone */
  async evict(id: UploadId): Promise<boolean> {
    const read = await this.#store.read(id);
    if (read === null) return true;
    const record = readableRecord(read.record);
    if (record === null || this.#options.appends.has(id) || !isEvictable(record, read.offset)) return false;
    const bytes = await this.#removeIf(id, isEvictable, { read });
    if (bytes !== null) new UploadTrace("resumable").removed("evicted", bytes);
    return bytes !== null;
  }

  /** @returns the number of removed bytes; `null` if the upload stays */
  async #removeIf(
    id: UploadId,
    isWanted: (record: UploadRecord, offset: number) => boolean,
    { read, signal }: { readonly read: ReadUpload; readonly signal?: AbortSignal },
  ): Promise<number | null> {
    const taken = await this.#store.hold(id, signal, read);
    await using held = taken?.status === "held" ? taken : null;
    const offset = held?.offset ?? 0;
    if (taken === null || !isWanted(parseRecord(taken.record), offset)) return null;
    await taken.remove();
    this.#options.onRemoved(id);
    return offset;
  }
}

function isEvictable({ saved, sealed, outcome }: UploadRecord, offset: number): boolean {
  return outcome === null && !sealed && isSmallAndIdle(offset, saved);
}
