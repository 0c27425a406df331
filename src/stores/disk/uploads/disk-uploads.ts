import { UploadId } from "../../../core/upload-id.ts";
import type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  UploadStore,
  UploadSummary,
} from "../../../core/upload-store.ts";
import { namesIn } from "../blob-files.ts";
import { failedWith, toFixityError, withStoreErrors } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import type { FileClock } from "../staging.ts";
import { DiskHeldUpload, type HeldUploadOptions } from "./disk-held-upload.ts";
import { lengthOf, restingToken, type SavedState } from "./upload-folder.ts";

/**
 * The time of a file may be that of the system's last tick, so the clock that is derived from one
 * may be behind the time of another by a tick.
 */
const CLOCK_STEP_MS = 10;

/** Folders that a listing examines together. */
const LIST_BATCH_FOLDERS = 64;

/**
 * Resumable uploads on disk: a folder for each, with its bytes, a record and a token that names its
 * holder (upload-folder.ts). `UploadFolders` creates and removes them, `DiskTakeovers` decides
 * which process holds one, `DiskHeldUpload` appends to it and makes a blob of it. A crash leaves
 * the last save, or a scratch folder that `UploadFolders.collect` removes.
 */
export class DiskUploads implements UploadStore {
  readonly #layout: Layout;
  readonly #options: HeldUploadOptions;

  constructor(layout: Layout, options: HeldUploadOptions) {
    this.#layout = layout;
    this.#options = options;
  }

  async create(id: UploadId, record: string, { isEnded = false }: CreateUploadOptions = {}): Promise<void> {
    await withStoreErrors(() => this.#options.folders.create(id, record, isEnded));
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const folder = this.#options.folders.of(id);
      for (;;) {
        signal?.throwIfAborted();
        const view = await folder.view();
        if (view === null) return null;
        if (view.token.state === "gone") return this.#finishRemoval(id);
        const state = await folder.readState(view.generation);
        const isSettled = view.token.state === "free";
        // A record that is being replaced is durable after the flush; an upload that is being
        // removed is gone by then.
        if (!isSettled && !(await foundFolder(folder.settle()))) continue;
        if (state !== null && (!isSettled || (await folder.has(view.token)))) {
          const isDamaged = state.isDamaged === true || !(await folder.hasBytesOf(state));
          return { record: state.record, offset: lengthOf(state.segments), isHeld: !isSettled, isDamaged };
        }
      }
    });
  }

  async hold(id: UploadId, signal?: AbortSignal): Promise<HeldUpload | EndedUpload | null> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const { takeovers, folders } = this.#options;
      const taken = await takeovers.take(id, folders.of(id), signal);
      if (taken === "gone") return this.#finishRemoval(id);
      if (taken === null) return null;
      if ("ended" in taken) return this.#ended(id, taken.ended);
      const { folder, state } = taken;
      if (state.isEnded === true) {
        await takeovers.release(taken, true);
        return this.#ended(id, state);
      }
      const isDamaged = state.isDamaged === true || !(await folder.hasBytesOf(state));
      return new DiskHeldUpload({ ...taken, state: { ...state, isDamaged } }, this.#options);
    });
  }

  /** Costs two calls for each upload: the names in its folder and the time of its record. */
  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary> {
    signal?.throwIfAborted();
    const clock = await this.#options.folders.staging.clock();
    let batch: UploadId[] = [];
    try {
      for await (const name of namesIn(this.#layout.uploads)) {
        const id = UploadId.fromHex(name);
        if (id !== null) batch.push(id);
        if (batch.length < LIST_BATCH_FOLDERS) continue;
        yield* this.#summaries(batch, clock, signal);
        batch = [];
      }
      yield* this.#summaries(batch, clock, signal);
    } catch (error) {
      throw toFixityError(error);
    }
  }

  async *#summaries(
    ids: readonly UploadId[],
    clock: FileClock | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<UploadSummary> {
    signal?.throwIfAborted();
    const found = await Promise.all(
      ids.map(async (id) => {
        // A folder that cannot be looked at hides no other one: reading its upload reports what is
        // wrong.
        const glance = await this.#options.folders
          .of(id)
          .glance()
          .catch(() => null);
        const age = clock === null || glance === null ? -Infinity : Math.ceil(clock() - glance.modified);
        return { id, age: age < -CLOCK_STEP_MS ? null : Math.max(age, 0), isEnded: glance?.isEnded ?? false };
      }),
    );
    for (const summary of found) {
      signal?.throwIfAborted();
      yield summary;
    }
  }

  #ended(id: UploadId, { record }: SavedState): EndedUpload {
    return { status: "ended", record, remove: () => withStoreErrors(() => this.#removeEnded(id)) };
  }

  async #removeEnded(id: UploadId): Promise<void> {
    const folder = this.#options.folders.of(id);
    for (;;) {
      const token = (await folder.view())?.token;
      if (token === undefined) return;
      const isGone = token.state === "gone" || (await folder.exchange(token, restingToken(token.generation, "gone")));
      if (isGone) return this.#options.folders.finishRemoval(id);
    }
  }

  /** Finishes a removal that another caller has begun; its process may have died. */
  async #finishRemoval(id: UploadId): Promise<null> {
    await this.#options.folders.finishRemoval(id);
    return null;
  }
}

/** Whether a call on a folder found it. */
async function foundFolder(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return false;
    throw error;
  }
}
