import { constants } from "node:fs";
import { join } from "node:path";
import { BatchWriter } from "../batch-writer.ts";
import type { Batches } from "../batches.ts";
import { close, fstat, open } from "../calls.ts";
import type { Durability } from "../file-system.ts";
import { failedWith, storeFault } from "../faults.ts";
import type { Log } from "../options.ts";
import { writeChunks } from "../write-chunks.ts";
import { generationOf, lengthOf, newSegment, type Segment } from "./saved-state.ts";

/** What bytes are written with. */
export interface UploadBytesParts {
  /** The upload's folder. */
  readonly path: string;
  readonly durability: Durability;
  readonly batches: Batches;
  readonly log: Log;
  readonly generation: number;
  /** What is saved already. */
  readonly segments: readonly Segment[];
  /** Of new files. */
  readonly fileMode: number;
}

/** The file that is being written. */
interface OpenFile {
  readonly fd: number;
  readonly name: string;
  /** Bytes in it that count, or will. */
  length: number;
  /** Those of them that a flush has covered. */
  flushed: number;
}

/**
 * Bytes behind those that an upload has. They go to the upload's file at their position, over what was written there and
 * never saved; or to a new file, where that one may be somebody else's, or a blob.
 */
export class UploadBytes {
  readonly #parts: UploadBytesParts;
  readonly #writer: BatchWriter;
  /** The segments before the file that is being written. */
  #before: readonly Segment[];
  #file: OpenFile | null = null;
  /** All bytes of the upload, with those that gather. */
  #taken: number;
  #hasEntered = false;

  constructor(parts: UploadBytesParts) {
    this.#parts = parts;
    this.#before = parts.segments;
    this.#taken = lengthOf(parts.segments);
    this.#writer = new BatchWriter(parts.batches, (chunks, length) => this.#append(chunks, length));
  }

  /** All bytes of the upload, saved or not. */
  get taken(): number {
    return this.#taken;
  }

  write(bytes: Uint8Array): Promise<void> | void {
    if (!this.#hasEntered) this.#parts.batches.enter();
    this.#hasEntered = true;
    this.#taken += bytes.length;
    return this.#writer.write(bytes);
  }

  /** Writes all that was taken before this call; the segments with it. They count when `flush` has made them durable. */
  async flushed(): Promise<{ readonly segments: readonly Segment[]; readonly flush: Promise<void> }> {
    const taken = this.#taken;
    await this.#writer.flush();
    const file = this.#file;
    if (file === null) return { segments: this.#before, flush: Promise.resolve() };
    const length = taken - lengthOf(this.#before);
    return { segments: [...this.#before, { name: file.name, length }], flush: this.#flush(file) };
  }

  /** Forgets what was not written yet, and closes the file. Does not fail. */
  async close(): Promise<void> {
    await this.#writer.drop();
    if (this.#hasEntered) this.#parts.batches.leave();
    this.#hasEntered = false;
    const file = this.#file;
    this.#file = null;
    if (file === null) return;
    try {
      await close(file.fd);
    } catch (error) {
      this.#parts.log("a file of an upload could not be closed", error);
    }
  }

  async #flush(file: OpenFile): Promise<void> {
    const { durability } = this.#parts;
    const { length, flushed } = file;
    if (length === flushed) return;
    await durability.data(file.fd, length - flushed);
    file.flushed = length;
  }

  async #append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    try {
      this.#file ??= (await this.#continued()) ?? (await this.#begun());
      const file = this.#file;
      await writeChunks(file.fd, chunks, { length, position: file.length });
      file.length += length;
    } catch (error) {
      throw storeFault(error);
    }
  }

  /** The last segment, where this holder is the only one that can write to it, and it is no blob. */
  async #continued(): Promise<OpenFile | null> {
    const last = this.#parts.segments.at(-1);
    if (last === undefined || generationOf(last) !== this.#parts.generation) return null;
    const fd = await openSole(join(this.#parts.path, last.name));
    if (fd === null) return null;
    this.#before = this.#parts.segments.slice(0, -1);
    return { fd, name: last.name, length: last.length, flushed: last.length };
  }

  async #begun(): Promise<OpenFile> {
    const { path, generation, durability, segments, fileMode } = this.#parts;
    const { name } = newSegment(generation);
    const fd = await open(join(path, name), "wx", fileMode);
    this.#before = segments.filter(({ length }) => length > 0);
    const file = { fd, name, length: 0, flushed: 0 };
    // closed with the others, should this fail
    this.#file = file;
    await durability.folder(path);
    return file;
  }
}

/**
 * Opens a file for writing; `null` where it has a second name, or may not be written to: then it is a blob, or was about
 * to become one.
 */
async function openSole(path: string): Promise<number | null> {
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
