import { closeSync, fchmodSync, fchownSync, linkSync, openSync, statSync, unlinkSync, writeSync } from "node:fs";

/** Where a small blob is to be made. */
export interface BlobPaths {
  /** The staging file, of a name that nobody else uses. */
  readonly staged: string;
  readonly place: string;
  /** The mode of the file, and its group where that is not the process's. */
  readonly mode: number;
  readonly gid: number | null;
}

/** Called with the path of a staging file that could not be removed, which does not keep a blob from being published. */
export type OnUnremoved = (path: string, error: unknown) => void;

/**
 * Writes a staging file by blocking system calls, for a thread of its own, and gives its descriptor. `null` where anything
 * was unusual (the blob is there already, no room): then nothing is left, and the calls of `Publisher`, which will meet the
 * same, know what to do.
 */
export function stageBlob(
  { staged, place, mode, gid }: BlobPaths,
  bytes: Uint8Array,
  onUnremoved: OnUnremoved,
): number | null {
  let fd: number;
  try {
    // known content need not be written
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
 * Gives a staging file its place, and takes its other name and the descriptor from it in any case. Nothing is flushed.
 * `false` where anything was unusual (the blob is there meanwhile, its folder is missing, no hard links): then nothing is
 * published.
 */
export function publishBlob({ staged, place }: BlobPaths, fd: number, onUnremoved: OnUnremoved): boolean {
  // a network file system may tell no earlier that bytes did not arrive
  const published = close(fd) && link(staged, place);
  unlink(staged, onUnremoved);
  return published;
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
