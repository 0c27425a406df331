import { UploadId } from "../../../core/upload-id.ts";
import type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  UploadStore,
  UploadSummary,
} from "../../../core/upload-store.ts";
import { failedWith, faultsTold, storeFault } from "../faults.ts";
import type { Clock } from "../staging.ts";
import type { Layout } from "../layout.ts";
import { namesIn } from "../walk.ts";
import { DiskHeldUpload, type HeldUploadTools } from "./disk-held-upload.ts";
import { lengthOf, type SavedState } from "./saved-state.ts";
import { restingToken } from "./token.ts";

/** Folders looked at together in a listing. */
const LISTED_AT_ONCE = 64;

/** Uploads as folders, each with its bytes and a record of them. */
export class DiskUploads implements UploadStore {
  readonly #layout: Layout;
  readonly #tools: HeldUploadTools;

  constructor(layout: Layout, tools: HeldUploadTools) {
    this.#layout = layout;
    this.#tools = tools;
  }

  /** What is announced of the whole saves no work here. */
  async create(id: UploadId, record: string, { isEnded = false }: CreateUploadOptions = {}): Promise<void> {
    await faultsTold(() => this.#tools.folders.create(id, record, isEnded));
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const folder = this.#tools.folders.of(id);
      for (;;) {
        signal?.throwIfAborted();
        const view = await folder.view();
        if (view === null) return null;
        if (view.token.state === "gone") return this.#finishRemoval(id);
        const state = await folder.readState(view.generation);
        const isSettled = view.token.state === "free";
        // A record that is being replaced is durable a moment later; and what is being removed is gone by then.
        if (!isSettled && !(await isStillThere(folder.settle()))) continue;
        if (state !== null && (!isSettled || (await folder.has(view.token)))) {
          const isDamaged = state.isDamaged === true || !(await folder.hasBytesOf(state));
          return { record: state.record, offset: lengthOf(state.segments), isHeld: !isSettled, isDamaged };
        }
      }
    });
  }

  async hold(id: UploadId, signal?: AbortSignal): Promise<HeldUpload | EndedUpload | null> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const { handover, folders } = this.#tools;
      const taken = await handover.take(id, folders.of(id), signal);
      if (taken === "gone") return this.#finishRemoval(id);
      if (taken === null) return null;
      if ("ended" in taken) return this.#ended(id, taken.ended);
      const { folder, state } = taken;
      if (state.isEnded === true) {
        await handover.release(taken, true);
        return this.#ended(id, state);
      }
      const isDamaged = state.isDamaged === true || !(await folder.hasBytesOf(state));
      return new DiskHeldUpload({ ...taken, state: { ...state, isDamaged } }, this.#tools);
    });
  }

  /** One look at the names in each folder, and one at its record's time. */
  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary> {
    signal?.throwIfAborted();
    const clock = await this.#tools.folders.clock();
    let batch: UploadId[] = [];
    try {
      for await (const name of namesIn(this.#layout.uploads)) {
        const id = UploadId.fromHex(name);
        if (id !== null) batch.push(id);
        if (batch.length < LISTED_AT_ONCE) continue;
        yield* this.#summaries(batch, clock, signal);
        batch = [];
      }
      yield* this.#summaries(batch, clock, signal);
    } catch (error) {
      throw storeFault(error);
    }
  }

  async *#summaries(
    ids: readonly UploadId[],
    clock: Clock | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<UploadSummary> {
    signal?.throwIfAborted();
    const found = await Promise.all(
      ids.map(async (id) => {
        // one folder that cannot be looked at hides no other: reading the upload tells what is wrong with it
        const glance = await this.#tools.folders
          .of(id)
          .glance()
          .catch(() => null);
        const age = clock === null || glance === null ? -1 : Math.ceil(clock() - glance.modified);
        return { id, age: age < 0 ? null : age, isEnded: glance?.isEnded ?? false };
      }),
    );
    for (const summary of found) {
      signal?.throwIfAborted();
      yield summary;
    }
  }

  #ended(id: UploadId, { record }: SavedState): EndedUpload {
    return { status: "ended", record, remove: () => faultsTold(() => this.#removeEnded(id)) };
  }

  async #removeEnded(id: UploadId): Promise<void> {
    const folder = this.#tools.folders.of(id);
    for (;;) {
      const token = (await folder.view())?.token;
      if (token === undefined) return;
      const isGone = token.state === "gone" || (await folder.exchange(token, restingToken(token.generation, "gone")));
      if (isGone) return this.#tools.folders.finishRemoval(id);
    }
  }

  /** What was begun to be removed is removed, whoever has died over it. */
  async #finishRemoval(id: UploadId): Promise<null> {
    await this.#tools.folders.finishRemoval(id);
    return null;
  }
}

/** Whether a call on a folder found it. */
async function isStillThere(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return false;
    throw error;
  }
}
