import { constants, type Stats } from "node:fs";
import { dirname } from "node:path";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobStat } from "../../core/store.ts";
import { close, fstat, lstat, open, statOrNull } from "./calls.ts";
import { failedWith } from "./faults.ts";

/** A FIFO in the place of a blob must not block the thread that opens it. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** What `open` answers to sockets, to devices without a driver and to circles of links. */
const NO_FILE = ["ENXIO", "ENODEV", "ELOOP"] as const;

/** The facts of a blob from those of its file. */
export function statOf(digest: Digest, facts: Stats): BlobStat {
  return { digest, size: facts.size, modified: facts.mtime };
}

/**
 * Opens a blob's file for reading; `null` if there is none.
 *
 * @throws FixityError `store-misconfigured` if something other than a file stands in its place, or a link to nowhere
 *   stands there or in the place of a folder above
 */
export async function openBlob(path: string): Promise<{ readonly fd: number; readonly facts: Stats } | null> {
  let fd: number;
  try {
    fd = await open(path, READ_FLAGS);
  } catch (error) {
    if (failedWith(error, ...NO_FILE)) throw notAFile(path);
    if (!failedWith(error, "ENOENT")) throw error;
    await refuseDanglingLink(path);
    return null;
  }
  try {
    const facts = await fstat(fd);
    if (facts.isFile()) return { fd, facts };
    throw notAFile(path);
  } catch (error) {
    await close(fd);
    throw error;
  }
}

/** The facts of a blob's file; `null` if there is none. @throws FixityError as {@link openBlob} does */
export async function statBlob(path: string): Promise<Stats | null> {
  let facts: Stats | null;
  try {
    facts = await statOrNull(path);
  } catch (error) {
    throw failedWith(error, ...NO_FILE) ? notAFile(path) : error;
  }
  if (facts === null) await refuseDanglingLink(path);
  else if (!facts.isFile()) throw notAFile(path);
  return facts;
}

/**
 * For a path that was not found. A symbolic link to nowhere looks like an absent file, but nothing can be stored behind
 * it, and what was stored there may only be out of reach (a disk that is not mounted).
 *
 * @throws FixityError `store-misconfigured` if the path, or the nearest folder above it that exists, is such a link
 */
export async function refuseDanglingLink(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => null);
  if (facts === null) {
    if (dirname(path) !== path) await refuseDanglingLink(dirname(path));
    return;
  }
  // a file that was stored since is not a link
  if (facts.isSymbolicLink() && (await statOrNull(path)) === null) throw danglingLink(path);
}

/** The answer names no path; the log has the cause. */
function notAFile(path: string): FixityError {
  return new FixityError("store-misconfigured", "Something that is not a file stands in the place of a stored file.", {
    cause: new Error(`${path} must be a regular file: move it out of the way, or remove it`),
  });
}

function danglingLink(path: string): FixityError {
  return new FixityError("store-misconfigured", "A symbolic link in the store's folder leads nowhere.", {
    cause: new Error(
      `${path} is a symbolic link to a path that does not exist: restore its target, or remove the link`,
    ),
  });
}
