import { constants } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { CommitOptions, Committed } from "../../../core/staged-blob.ts";
import type { HeldUpload } from "../../../core/upload-store.ts";
import { superseded } from "../../takeover.ts";
import type { BatchBudget } from "../batch-writer.ts";
import { close, fchmod, fchown, fstat, ftruncate, open } from "../calls.ts";
import { DiskReader } from "../disk-reader.ts";
import { failedWith, toFixityError } from "../file-system.ts";
import { MODES_UNSUPPORTED, type Modes } from "../layout.ts";
import type { Publisher } from "../publisher.ts";
import { UploadBytes } from "./upload-bytes.ts";
import {
  generationOf,
  lengthOf,
  restingToken,
  type SavedState,
  type Segment,
  type UploadFolder,
} from "./upload-folder.ts";
import type { UploadFolders } from "./upload-folders.ts";
import type { DiskTakeovers, Taken } from "./upload-takeover.ts";

/** Bytes between two saves during a request: 32 MiB. A save flushes them and waits for the disk. */
const SAVE_INTERVAL_BYTES = 32 * 1024 * 1024;

/** What held uploads share with their store. */
export interface HeldUploadOptions {
  readonly folders: UploadFolders;
  readonly takeovers: DiskTakeovers;
  readonly publisher: Publisher;
  readonly budget: BatchBudget;
  /** Stores a copy of bytes as a blob. */
  readonly storeCopy: (bytes: AsyncIterable<Uint8Array>, digest: Digest, options: CommitOptions) => Promise<Committed>;
}

/** A held upload on disk. */
export class DiskHeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #taken: Taken;
  readonly #options: HeldUploadOptions;
  readonly #bytes: UploadBytes;
  #state: SavedState;
  /** The offset of the last save that has begun. */
  #savedUntil: number;
  #failure: { readonly reason: unknown } | null = null;
  /** From `committed` on there are no more bytes and no more saves. */
  #ended: "committed" | "concluded" | "removed" | "released" | null = null;
  /** Calls in progress; never rejects. */
  #working: Promise<unknown> = Promise.resolve();

  constructor(taken: Taken, options: HeldUploadOptions) {
    const { state, folder, token } = taken;
    const { segments } = state;
    this.#taken = taken;
    this.#options = options;
    this.#state = state;
    this.#savedUntil = this.offset;
    this.#bytes = new UploadBytes({ folder, generation: token.generation, segments, budget: options.budget });
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
    return this.#taken.lease.takeover;
  }

  get nextSave(): number {
    const unsaved = this.#bytes.taken - this.#savedUntil;
    return this.#bytes.taken - (unsaved % SAVE_INTERVAL_BYTES) + SAVE_INTERVAL_BYTES;
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertAppendable();
    try {
      return this.#bytes.write(bytes);
    } catch (error) {
      return this.#run(() => Promise.reject(error as Error));
    }
  }

  async save(record: string): Promise<void> {
    await this.#run(async () => {
      this.#assertAppendable();
      this.#savedUntil = this.#bytes.taken;
      const { segments, flush } = await this.#bytes.flushed();
      await this.#keep({ record, segments }, flush);
    });
  }

  async renew(record: string): Promise<void> {
    await this.#run(async () => {
      if (this.#ended !== "committed") this.#assertAppendable();
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

  async commit(digest: Digest, options: CommitOptions = {}): Promise<Committed> {
    return this.#run(async () => {
      // Bytes that no save has covered are not part of the upload.
      await this.#bytes.close();
      await this.#assertNotFencedOff();
      const committed =
        (await this.#commitFile(digest, options)) ?? (await this.#options.storeCopy(this.read(), digest, options));
      await this.#assertNotFencedOff();
      this.#ended = "committed";
      return committed;
    });
  }

  async conclude(record: string): Promise<void> {
    await this.#run(async () => {
      await this.#bytes.close();
      const { segments } = this.#state;
      await this.#keep({ record, segments: [], isEnded: true }, Promise.resolve());
      await Promise.all(segments.map(({ name }) => this.#taken.folder.removeFile(name)));
      this.#ended = "concluded";
    });
  }

  async remove(): Promise<void> {
    await this.#run(async () => {
      await this.#bytes.close();
      const { folder, token, lease } = this.#taken;
      if (!(await folder.exchange(token, restingToken(token.generation, "gone")))) throw superseded();
      this.#ended = "removed";
      await this.#options.folders.finishRemoval(this.#taken.id);
      this.#options.takeovers.end(lease);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#working;
    const ended = this.#ended;
    if (ended === "released") return;
    this.#ended = "released";
    await this.#bytes.close();
    const { takeovers } = this.#options;
    if (ended === "removed") takeovers.end(this.#taken.lease);
    else await takeovers.release(this.#taken, this.#failure === null);
  }

  /**
   * Gives the upload's own file a name among the blobs; `null` if only a copy can become a blob.
   */
  async #commitFile(digest: Digest, { judge }: CommitOptions): Promise<Committed | null> {
    const { folder, token } = this.#taken;
    const [segment, ...others] = this.#state.segments;
    if (segment === undefined || others.length > 0 || generationOf(segment) !== token.generation) return null;
    const path = join(folder.path, segment.name);
    const size = segment.length;
    const { publisher } = this.#options;
    return publisher.adopt({ path, seal: () => sealFile(folder, path, size) }, { digest, size, judge });
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
    await this.#assertNotFencedOff();
    this.#state = state;
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
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

  /** The failure to report. If another holder has taken the upload over, only that matters. */
  async #reasonOf(error: unknown): Promise<unknown> {
    try {
      if (this.#ended !== "removed") await this.#assertNotFencedOff();
    } catch (lost) {
      if (lost instanceof FixityError) return lost;
    }
    return toFixityError(error);
  }

  async #assertNotFencedOff(): Promise<void> {
    const { folder, token, lease } = this.#taken;
    if (!lease.isLost && !(await folder.has(token))) lease.lose();
    lease.assertHeld();
  }

  #assertHeld(): void {
    this.#taken.lease.assertHeld();
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#ended === "released" || this.#ended === "removed") {
      throw new FixityError("internal-error", "The upload was released or removed.");
    }
  }

  #assertAppendable(): void {
    this.#assertHeld();
    if (this.#ended !== null) throw new FixityError("internal-error", "The upload was committed or concluded.");
  }
}

/**
 * Cuts a file that may have more bytes to exactly `size`, makes it durable and, if the file system
 * has modes, read-only like a blob. A file with a second name is a blob already and stays as it is.
 *
 * @throws FixityError `store-unavailable` if it has fewer bytes, or is a blob of another size
 */
async function sealFile({ files, modes }: UploadFolder, path: string, size: number): Promise<void> {
  const fd = await openToSeal(path);
  try {
    const facts = await fstat(fd);
    if (facts.size < size || (facts.nlink > 1 && facts.size !== size)) {
      throw new FixityError("store-unavailable", "The upload's bytes are not all there.");
    }
    if (facts.size > size) await ftruncate(fd, size);
    if (facts.nlink === 1) await makeReadOnly(fd, facts.mode, modes);
    await files.flushForeignFile(fd);
  } finally {
    await close(fd);
  }
}

/** A file that was sealed before can only be read, and need not be changed. */
async function openToSeal(path: string): Promise<number> {
  try {
    return await open(path, constants.O_WRONLY);
  } catch (error) {
    if (!failedWith(error, "EACCES", "EPERM")) throw error;
    return open(path, "r");
  }
}

/**
 * The mode protects a blob from mistakes of other programs. fixity itself does not rely on it, so a
 * refusal is ignored.
 */
async function makeReadOnly(fd: number, mode: number, modes: Modes): Promise<void> {
  try {
    if (modes.gid !== null) await fchown(fd, -1, modes.gid);
    await fchmod(fd, modes.sealed(mode));
  } catch (error) {
    if (!failedWith(error, ...MODES_UNSUPPORTED)) throw error;
  }
}
