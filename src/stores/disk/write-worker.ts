import { closeSync, fchmodSync, fchownSync, linkSync, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { fsync } from "./calls.ts";
import { flushFolderBlocking } from "./file-system.ts";

/**
 * The script of a write thread: writes small blobs, a batch at a time, by blocking system calls. Only
 * the flushes of files go through Node's pool. The thread handles the common case; anything unusual
 * is declined and left to `Publisher`.
 */

/** Where a small blob is created. */
export interface BlobPaths {
  /** The staging file, under a name that is used once. */
  readonly staged: string;
  readonly place: string;
  /** The mode of the file, and its group if that is not the process's. */
  readonly mode: number;
  readonly gid: number | null;
}

/** A blob of a batch. */
export interface BatchedBlob extends BlobPaths {
  /** Where its bytes begin and end in the memory that both threads share. */
  readonly start: number;
  readonly end: number;
}

/** A message to a write thread. */
export interface Batch {
  /** Whether files and folders are flushed. */
  readonly isDurable: boolean;
  readonly blobs: readonly BatchedBlob[];
}

/** The part of a failed system call that can be sent between threads. */
export interface CallFailure {
  readonly message: string;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
}

/**
 * What has become of a blob. `declined`: nothing was done, and nothing is left of it. `unflushed`: its
 * file could not be flushed, and nothing is left of it, or its folder, and it is published.
 */
export type BlobOutcome =
  | { readonly is: "declined" }
  | { readonly is: "published" }
  | { readonly is: "unflushed"; readonly what: "file" | "folder"; readonly failure: CallFailure };

/** The reply to a batch. */
export interface BatchAnswer {
  /** In the order of the blobs. */
  readonly outcomes: readonly BlobOutcome[];
  /** Staging files that could not be removed, and why. */
  readonly unremoved: readonly (readonly [path: string, error: unknown])[];
}

/**
 * Called with a staging file that could not be removed. That does not prevent its blob from being
 * published.
 */
export type OnUnremoved = (path: string, error: unknown) => void;

const memory = workerData as Uint8Array;

parentPort?.on("message", ({ isDurable, blobs }: Batch) => void handle(blobs, isDurable));

async function handle(blobs: readonly BatchedBlob[], isDurable: boolean): Promise<void> {
  const unremoved: [string, unknown][] = [];
  const onUnremoved = (path: string, error: unknown): void => void unremoved.push([path, error]);
  const outcomes = isDurable
    ? await storeDurably(blobs, onUnremoved)
    : blobs.map((blob) => publishedOrNot(store(blob, onUnremoved)));
  const answer: BatchAnswer = { outcomes, unremoved };
  parentPort?.postMessage(answer);
}

function publishedOrNot(isPublished: boolean): BlobOutcome {
  return { is: isPublished ? "published" : "declined" };
}

/** Writes and publishes a blob without a flush. `false` if it is declined. */
function store(blob: BatchedBlob, onUnremoved: OnUnremoved): boolean {
  const fd = stageBlob(blob, memory.subarray(blob.start, blob.end), onUnremoved);
  return fd !== null && publishBlob(blob, fd, onUnremoved);
}

/**
 * Stages all blobs, flushes their files, publishes them and flushes their folders. All files are
 * flushed at the same time, and all blobs get their names before the first folder is flushed: flushes
 * that belong together share the work of the disk.
 */
async function storeDurably(blobs: readonly BatchedBlob[], onUnremoved: OnUnremoved): Promise<BlobOutcome[]> {
  const staged = blobs.map((blob) => stageBlob(blob, memory.subarray(blob.start, blob.end), onUnremoved));
  const unflushed = await Promise.all(staged.map(failureOfFile));
  const outcomes = blobs.map((blob, index): BlobOutcome => {
    const [fd, failure] = [staged[index] ?? null, unflushed[index] ?? null];
    if (fd === null) return { is: "declined" };
    if (failure === null) return publishedOrNot(publishBlob(blob, fd, onUnremoved));
    discardBlob(blob, fd, onUnremoved);
    return { is: "unflushed", what: "file", failure };
  });
  const folders = new Map<string, CallFailure | null>();
  for (const [index, { place }] of blobs.entries()) {
    if (outcomes[index]?.is !== "published") continue;
    const folder = dirname(place);
    let failure = folders.get(folder);
    if (failure === undefined) {
      failure = failureOfFolder(folder);
      folders.set(folder, failure);
    }
    if (failure !== null) outcomes[index] = { is: "unflushed", what: "folder", failure };
  }
  return outcomes;
}

/** Why a file could not be flushed; `null` if it was, and if there is none. */
async function failureOfFile(fd: number | null): Promise<CallFailure | null> {
  try {
    if (fd !== null) await fsync(fd);
    return null;
  } catch (error) {
    return toFailure(error as NodeJS.ErrnoException);
  }
}

function failureOfFolder(path: string): CallFailure | null {
  try {
    flushFolderBlocking(path);
    return null;
  } catch (error) {
    return toFailure(error as NodeJS.ErrnoException);
  }
}

function toFailure({ message, code, errno, syscall }: NodeJS.ErrnoException): CallFailure {
  return { message, code, errno, syscall };
}

/**
 * Writes a staging file and returns its descriptor. `null` if anything was unusual (the blob is
 * stored already, no room): then nothing is left, and `Publisher`, which will meet the same,
 * handles it.
 */
export function stageBlob(
  { staged, place, mode, gid }: BlobPaths,
  bytes: Uint8Array,
  onUnremoved: OnUnremoved,
): number | null {
  let fd: number;
  try {
    // Content that is stored already need not be written.
    if (statSync(place, { throwIfNoEntry: false }) !== undefined) return null;
    fd = openSync(staged, "wx", mode);
  } catch {
    return null;
  }
  if (fill(fd, bytes) && (gid === null || admitGroup(fd, mode, gid))) return fd;
  discardBlob({ staged }, fd, onUnremoved);
  return null;
}

function discardBlob({ staged }: Pick<BlobPaths, "staged">, fd: number, onUnremoved: OnUnremoved): void {
  close(fd);
  unlink(staged, onUnremoved);
}

/**
 * Gives a staging file its name among the blobs; in any case closes it and removes its staging
 * name. Flushes nothing. `false` if anything was unusual (the blob is stored by now, its folder is
 * missing, no hard links): then nothing is published.
 */
export function publishBlob({ staged, place }: BlobPaths, fd: number, onUnremoved: OnUnremoved): boolean {
  // A network file system may report only now that bytes did not arrive.
  const isPublished = close(fd) && link(staged, place);
  unlink(staged, onUnremoved);
  return isPublished;
}

/** Whether all bytes were taken. */
function fill(fd: number, bytes: Uint8Array): boolean {
  try {
    return writeSync(fd, bytes) === bytes.length;
  } catch {
    return false;
  }
}

function admitGroup(fd: number, mode: number, gid: number): boolean {
  try {
    fchownSync(fd, -1, gid);
    fchmodSync(fd, mode);
    return true;
  } catch {
    return false;
  }
}

function close(fd: number): boolean {
  try {
    closeSync(fd);
    return true;
  } catch {
    return false;
  }
}

function link(staged: string, place: string): boolean {
  try {
    linkSync(staged, place);
    return true;
  } catch {
    return false;
  }
}

function unlink(staged: string, onUnremoved: OnUnremoved): void {
  try {
    unlinkSync(staged);
  } catch (error) {
    onUnremoved(staged, error);
  }
}
