import { constants } from "node:fs";
import { join } from "node:path";
import { type BatchBudget, BatchWriter, writeChunks } from "../batch-writer.ts";
import { close, fstat, open } from "../calls.ts";
import { failedWith, toFixityError } from "../file-system.ts";
import { generationOf, lengthOf, newSegment, type Segment, type UploadFolder } from "./upload-folder.ts";

/** What an upload has when its holder begins to append. */
export interface UploadBytesOptions {
  readonly folder: UploadFolder;
  readonly generation: number;
  /** The segments of the last save. */
  readonly segments: readonly Segment[];
  readonly budget: BatchBudget;
}

/** The file that is being written. */
interface OpenFile {
  readonly fd: number;
  readonly name: string;
  /** Bytes in it that count, or will count. */
  length: number;
  /** How many of them have been flushed. */
  flushed: number;
}

/**
 * Appends bytes to an upload. They go to the upload's file at their position, over anything that
 * was written there and never saved; or to a new file, if a fenced-off holder may still write to
 * that one or it is a blob.
 */
export class UploadBytes {
  readonly #options: UploadBytesOptions;
  readonly #writer: BatchWriter;
  /** The segments before the file that is being written. */
  #before: readonly Segment[];
  #file: OpenFile | null = null;
  /** All bytes of the upload, including those that gather. */
  #taken: number;
  #hasEntered = false;

  constructor(options: UploadBytesOptions) {
    this.#options = options;
    this.#before = options.segments;
    this.#taken = lengthOf(options.segments);
    this.#writer = new BatchWriter(options.budget, (chunks, length) => this.#append(chunks, length));
  }

  /** All bytes of the upload, saved or not. */
  get taken(): number {
    return this.#taken;
  }

  write(bytes: Uint8Array): Promise<void> | void {
    if (!this.#hasEntered) this.#options.budget.enter();
    this.#hasEntered = true;
    this.#taken += bytes.length;
    return this.#writer.write(bytes);
  }

  /**
   * Writes everything that was taken before this call. The segments returned count once `flush` has
   * resolved.
   */
  async flushed(): Promise<{ readonly segments: readonly Segment[]; readonly flush: Promise<void> }> {
    const taken = this.#taken;
    await this.#writer.flush();
    const file = this.#file;
    if (file === null) return { segments: this.#before, flush: Promise.resolve() };
    const length = taken - lengthOf(this.#before);
    return { segments: [...this.#before, { name: file.name, length }], flush: this.#flush(file) };
  }

  /** Forgets what has not been written yet, and closes the file. Never throws. */
  async close(): Promise<void> {
    await this.#writer.drop();
    if (this.#hasEntered) this.#options.budget.leave();
    this.#hasEntered = false;
    const file = this.#file;
    this.#file = null;
    if (file === null) return;
    try {
      await close(file.fd);
    } catch (error) {
      this.#options.folder.files.log("a file of an upload could not be closed", error);
    }
  }

  async #flush(file: OpenFile): Promise<void> {
    const { length, flushed } = file;
    if (length === flushed) return;
    await this.#options.folder.files.flushData(file.fd, length - flushed);
    file.flushed = length;
  }

  async #append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    try {
      this.#file ??= (await this.#reopenLast()) ?? (await this.#createNext());
      const file = this.#file;
      await writeChunks(file.fd, chunks, { length, position: file.length });
      file.length += length;
    } catch (error) {
      throw toFixityError(error);
    }
  }

  /** The last segment, if no other holder can write to it and it is not a blob. */
  async #reopenLast(): Promise<OpenFile | null> {
    const { folder, generation, segments } = this.#options;
    const last = segments.at(-1);
    if (last === undefined || generationOf(last) !== generation) return null;
    const fd = await openUnlessBlob(join(folder.path, last.name));
    if (fd === null) return null;
    this.#before = segments.slice(0, -1);
    return { fd, name: last.name, length: last.length, flushed: last.length };
  }

  async #createNext(): Promise<OpenFile> {
    const { folder, generation, segments } = this.#options;
    const { name } = newSegment(generation);
    const fd = await open(join(folder.path, name), "wx", folder.modes.file);
    this.#before = segments.filter(({ length }) => length > 0);
    const file = { fd, name, length: 0, flushed: 0 };
    // Noted before the flush, so that `close` closes it if the flush fails.
    this.#file = file;
    await folder.settle();
    return file;
  }
}

/**
 * Opens a file for writing; `null` if it has a second name or is read-only: then it is a blob, or
 * was about to become one.
 */
async function openUnlessBlob(path: string): Promise<number | null> {
  let fd: number;
  try {
    fd = await open(path, constants.O_WRONLY);
  } catch (error) {
    if (failedWith(error, "EACCES", "EPERM")) return null;
    throw error;
  }
  const { nlink, mode } = await fstat(fd).catch(async (error: unknown) => {
    await close(fd);
    throw error;
  });
  if (nlink === 1 && (mode & 0o200) !== 0) return fd;
  await close(fd);
  return null;
}
