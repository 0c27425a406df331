import { closeSync, fchmodSync, fchownSync, linkSync, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { flushFolderBlocking } from "./file-system.ts";

/**
 * The script of a write thread: writes small blobs by blocking system calls, a batch at a time. It
 * handles only the common case; anything unusual is declined and left to `Publisher`.
 */

/**
 * What is done with the blobs of a batch. `make`: everything, without a flush. `stage`: the bytes
 * are written, for the caller to flush. `publish`: staged and flushed files get their names, and
 * the folders are flushed.
 */
export type WriteStep = "make" | "stage" | "publish";

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
  /** The staging file that is to be published; `null` before it is created. */
  readonly fd: number | null;
  /** Where its bytes begin and end in the memory that both threads share. */
  readonly start: number;
  readonly end: number;
}

/** A message to a write thread. */
export interface Batch {
  readonly step: WriteStep;
  readonly blobs: readonly BatchedBlob[];
}

/** The part of a failed system call that can be sent between threads. */
export interface CallFailure {
  readonly message: string;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
}

/** What has become of a blob. `declined`: nothing was done, and nothing is left of it. */
export type BlobOutcome =
  | { readonly is: "declined" }
  | { readonly is: "staged"; readonly fd: number }
  | { readonly is: "published" }
  | { readonly is: "unflushed"; readonly failure: CallFailure };

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

parentPort?.on("message", ({ step, blobs }: Batch) => {
  const unremoved: [string, unknown][] = [];
  const onUnremoved = (path: string, error: unknown): void => void unremoved.push([path, error]);
  const outcomes =
    step === "publish" ? publish(blobs, onUnremoved) : blobs.map((blob) => write(step, blob, onUnremoved));
  const answer: BatchAnswer = { outcomes, unremoved };
  parentPort?.postMessage(answer);
});

function write(step: "make" | "stage", blob: BatchedBlob, onUnremoved: OnUnremoved): BlobOutcome {
  const fd = stageBlob(blob, memory.subarray(blob.start, blob.end), onUnremoved);
  if (fd === null) return { is: "declined" };
  if (step === "stage") return { is: "staged", fd };
  return { is: publishBlob(blob, fd, onUnremoved) ? "published" : "declined" };
}

/**
 * All blobs get their names before the first flush, which then brings most of them to the disk; the
 * others find little to do.
 */
function publish(blobs: readonly BatchedBlob[], onUnremoved: OnUnremoved): BlobOutcome[] {
  const published = blobs.map((blob) => blob.fd !== null && publishBlob(blob, blob.fd, onUnremoved));
  const flushes = new Map<string, CallFailure | null>();
  return blobs.map(({ place }, index) => {
    if (published[index] !== true) return { is: "declined" };
    const folder = dirname(place);
    let failure = flushes.get(folder);
    if (failure === undefined) {
      failure = failureOfFlush(folder);
      flushes.set(folder, failure);
    }
    return failure === null ? { is: "published" } : { is: "unflushed", failure };
  });
}

function failureOfFlush(folder: string): CallFailure | null {
  try {
    flushFolderBlocking(folder);
    return null;
  } catch (error) {
    const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
    return { message, code, errno, syscall };
  }
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
  close(fd);
  unlink(staged, onUnremoved);
  return null;
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
