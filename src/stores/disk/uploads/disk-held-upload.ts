import { join } from "node:path";
import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { Committed } from "../../../core/staged-blob.ts";
import type { HeldUpload } from "../../../core/upload-store.ts";
import { superseded } from "../../uploads/hold.ts";
import type { Batches } from "../batches.ts";
import { open } from "../calls.ts";
import { DiskReader } from "../disk-reader.ts";
import type { Durability } from "../file-system.ts";
import { storeFault } from "../faults.ts";
import type { Log } from "../options.ts";
import type { Publisher } from "../publisher.ts";
import type { Handover, Taken } from "./upload-takeover.ts";
import { generationOf, lengthOf, type SavedState, type Segment } from "./saved-state.ts";
import { sealFile } from "./sealed-file.ts";
import { restingToken } from "./token.ts";
import { UploadBytes } from "./upload-bytes.ts";
import type { UploadFolders } from "./upload-folders.ts";

/** Bytes between two saves in the middle of a request: 32 MiB. A save flushes them, and waits for the disk. */
const SAVE_EVERY = 32 * 1024 * 1024;

/** What the uploads of a store are held with. */
export interface HeldUploadTools {
  readonly handover: Handover;
  readonly publisher: Publisher;
  readonly durability: Durability;
  readonly batches: Batches;
  readonly log: Log;
  /** Stores a copy of bytes as a blob. */
  readonly keepCopy: (bytes: AsyncIterable<Uint8Array>, digest: Digest) => Promise<Committed>;
  readonly folders: UploadFolders;
}

/** An upload in a folder, in the hands of its holder. */
export class DiskHeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #taken: Taken;
  readonly #tools: HeldUploadTools;
  readonly #bytes: UploadBytes;
  #state: SavedState;
  /** The offset of the last save that has begun. */
  #savedUntil: number;
  #failure: { readonly reason: unknown } | null = null;
  /** Sealed: no more bytes come, and no more saves. */
  #ended: "sealed" | "removed" | "released" | null = null;
  /** Calls under way; never rejects. */
  #working: Promise<unknown> = Promise.resolve();

  constructor(taken: Taken, tools: HeldUploadTools) {
    const { durability, batches, log } = tools;
    const { state, folder, token } = taken;
    this.#taken = taken;
    this.#tools = tools;
    this.#state = state;
    this.#savedUntil = this.offset;
    const { generation } = token;
    this.#bytes = new UploadBytes({
      path: folder.path,
      durability,
      batches,
      log,
      generation,
      segments: state.segments,
      fileMode: folder.modes.file,
    });
  }

  get record(): string {
    return this.#state.record;
  }

  get isDamaged(): boolean {
    return this.#state.isDamaged === true;
  }

  get offset(): number {
    return lengthOf(this.#state.segments);
  }

  get takeover(): AbortSignal {
    return this.#taken.hold.wanted;
  }

  get nextSave(): number {
    const unsaved = this.#bytes.taken - this.#savedUntil;
    return this.#bytes.taken - (unsaved % SAVE_EVERY) + SAVE_EVERY;
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertGoesOn();
    try {
      return this.#bytes.write(bytes);
    } catch (error) {
      return this.#work(() => Promise.reject(error as Error));
    }
  }

  async save(record: string): Promise<void> {
    await this.#work(async () => {
      this.#assertGoesOn();
      this.#savedUntil = this.#bytes.taken;
      const { segments, flush } = await this.#bytes.flushed();
      await this.#keep({ record, segments }, flush);
    });
  }

  async renew(record: string): Promise<void> {
    await this.#work(async () => {
      this.#assertGoesOn();
      await this.#keep({ ...this.#state, record }, Promise.resolve());
    });
  }

  async *read(from = 0): AsyncGenerator<Uint8Array> {
    this.#assertHeld();
    let skip = from;
    for (const segment of this.#state.segments) {
      if (skip < segment.length) yield* this.#readSegment(segment, skip);
      skip = Math.max(skip - segment.length, 0);
    }
  }

  async commit(digest: Digest): Promise<Committed> {
    return this.#work(async () => {
      // What no save has covered is not part of the upload.
      await this.#bytes.close();
      await this.#assertNotLost();
      const committed = (await this.#commitFile(digest)) ?? (await this.#tools.keepCopy(this.read(), digest));
      await this.#assertNotLost();
      this.#ended = "sealed";
      return committed;
    });
  }

  async conclude(record: string): Promise<void> {
    await this.#work(async () => {
      await this.#bytes.close();
      const { segments } = this.#state;
      await this.#keep({ record, segments: [], isEnded: true }, Promise.resolve());
      await Promise.all(segments.map(({ name }) => this.#taken.folder.removeFile(name)));
      this.#ended = "sealed";
    });
  }

  async remove(): Promise<void> {
    await this.#work(async () => {
      await this.#bytes.close();
      const { folder, token } = this.#taken;
      if (!(await folder.exchange(token, restingToken(token.generation, "gone")))) throw superseded();
      this.#ended = "removed";
      await this.#tools.folders.finishRemoval(this.#taken.id);
      this.#tools.handover.end(this.#taken);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#working;
    const ended = this.#ended;
    if (ended === "released") return;
    this.#ended = "released";
    await this.#bytes.close();
    if (ended === "removed") this.#tools.handover.end(this.#taken);
    else await this.#tools.handover.release(this.#taken, this.#failure === null);
  }

  /** Gives the upload's own file a name among the blobs; `null` where only a copy can be a blob. */
  async #commitFile(digest: Digest): Promise<Committed | null> {
    const { folder, token } = this.#taken;
    const { durability, publisher } = this.#tools;
    const [segment, ...others] = this.#state.segments;
    if (segment === undefined || others.length > 0 || generationOf(segment) !== token.generation) return null;
    const path = join(folder.path, segment.name);
    const size = segment.length;
    return publisher.adopt(
      { path, size, seal: () => sealFile({ path, size, modes: folder.modes }, durability) },
      digest,
    );
  }

  async *#readSegment({ name, length }: Segment, start: number): AsyncGenerator<Uint8Array> {
    try {
      const fd = await open(join(this.#taken.folder.path, name), "r");
      yield* new DiskReader({ fd, size: length, span: { start, end: length }, signal: undefined });
    } catch (error) {
      throw await this.#reasonOf(error);
    }
  }

  async #keep(state: SavedState, flush: Promise<void>): Promise<void> {
    const { folder, token } = this.#taken;
    await folder.writeState(token.generation, state, flush);
    await this.#assertNotLost();
    this.#state = state;
  }

  async #work<T>(work: () => Promise<T>): Promise<T> {
    this.#assertHeld();
    const working = work();
    this.#working = Promise.allSettled([this.#working, working]);
    try {
      return await working;
    } catch (error) {
      this.#failure = { reason: await this.#reasonOf(error) };
      throw this.#failure.reason;
    }
  }

  /** What to report of a failure: where somebody else has taken the upload over, only that matters. */
  async #reasonOf(error: unknown): Promise<unknown> {
    try {
      if (this.#ended !== "removed") await this.#assertNotLost();
    } catch (lost) {
      if (lost instanceof FixityError) return lost;
    }
    return storeFault(error);
  }

  async #assertNotLost(): Promise<void> {
    const { folder, token, hold } = this.#taken;
    if (!hold.lost && !(await folder.has(token))) hold.lose();
    hold.assertKept();
  }

  #assertHeld(): void {
    this.#taken.hold.assertKept();
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended === "released" || this.#ended === "removed") {
      throw new FixityError("internal-error", "The upload was released or removed.");
    }
  }

  #assertGoesOn(): void {
    this.#assertHeld();
    if (this.#ended !== null) throw new FixityError("internal-error", "The upload was committed or concluded.");
  }
}
