import { closeSync, linkSync, openSync, statSync, unlinkSync, writeSync } from "node:fs";

/** Where a small blob is to be made. */
export interface BlobPaths {
  /** The staging file, of a name that nobody else uses. */
  readonly staged: string;
  readonly place: string;
}

/** Told of trouble that does not keep a blob from being published. */
export type TroubleLog = (message: string, error: unknown) => void;

/**
 * Makes a blob by blocking system calls, for a thread of its own. Nothing is flushed. `false` where anything was unusual
 * (the blob is there already, its folder is missing, no hard links, no room): then nothing is published or left, and the
 * calls of `Publisher`, which will meet the same, know what to do.
 */
export function writeBlob({ staged, place }: BlobPaths, bytes: Uint8Array, log: TroubleLog): boolean {
  let fd: number;
  try {
    // known content need not be written
    if (statSync(place, { throwIfNoEntry: false }) !== undefined) return false;
    fd = openSync(staged, "wx", 0o444);
  } catch {
    return false;
  }
  const published = fill(fd, bytes) && publish(staged, place);
  try {
    unlinkSync(staged);
  } catch (error) {
    log("a staging file could not be removed", error);
  }
  return published;
}

/** Writes and closes; whether all bytes were taken. */
function fill(fd: number, bytes: Uint8Array): boolean {
  let taken = -1;
  try {
    taken = writeSync(fd, bytes);
  } catch {
    // as if nothing had been taken
  }
  try {
    // a network file system may tell no earlier that bytes did not arrive
    closeSync(fd);
  } catch {
    return false;
  }
  return taken === bytes.length;
}

function publish(staged: string, place: string): boolean {
  try {
    linkSync(staged, place);
    return true;
  } catch {
    return false;
  }
}
