import { constants, type Dir, type Dirent, fstatSync, type Stats } from "node:fs";
import { opendir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobIdentity, BlobStat } from "../../core/blob-stat.ts";
import type { Misplaced } from "../../core/store.ts";
import { close, lstat, open, statOrNull } from "./calls.ts";
import { failedWith, toFixityError } from "./file-system.ts";
import { isFanOut, type Layout } from "./layout.ts";

/** A FIFO in the place of a blob must not block the thread that opens it. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** The answers of `open` for sockets, devices without a driver and loops of symbolic links. */
const NOT_A_FILE = ["ENXIO", "ENODEV", "ELOOP"] as const;

/**
 * The answers of `opendir` if there is no folder of blobs but nothing, something else, or a loop of
 * links.
 */
const NOT_A_FOLDER = ["ENOENT", "ENOTDIR", "ELOOP"] as const;

/** Directory entries that are examined together. */
const WALK_BATCH_ENTRIES = 64;

/** The facts of a blob from those of its file. */
export function statOf(digest: Digest, facts: Stats): BlobStat {
  return { digest, size: facts.size, modified: facts.mtime, identity: identityOf(facts) };
}

/**
 * A change through the file system sets the ctime, which no program can set back; a rename puts
 * another inode in the place.
 */
export function identityOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): BlobIdentity {
  return `${dev}-${ino}-${size}-${mtimeMs}-${ctimeMs}`;
}

/**
 * Opens a blob's file for reading; `null` if there is none.
 *
 * @throws FixityError `store-misconfigured` if something other than a file stands in its place, or
 *   a dangling symbolic link stands there or in the place of a folder above
 */
export async function openBlob(path: string): Promise<{ readonly fd: number; readonly facts: Stats } | null> {
  let fd: number;
  try {
    fd = await open(path, READ_FLAGS);
  } catch (error) {
    if (failedWith(error, ...NOT_A_FILE)) throw notAFile(path);
    if (!failedWith(error, "ENOENT")) throw error;
    await refuseDanglingLink(path);
    return null;
  }
  try {
    // Not in a thread: the system has the facts of an open file in memory, and a trip to a thread
    // costs ten times as much as the call.
    const facts = fstatSync(fd);
    if (facts.isFile()) return { fd, facts };
    throw notAFile(path);
  } catch (error) {
    await close(fd);
    throw error;
  }
}

/**
 * The facts of a blob's file; `null` if there is none.
 *
 * @throws FixityError as {@link openBlob} does
 */
export async function statBlob(path: string): Promise<Stats | null> {
  let facts: Stats | null;
  try {
    facts = await statOrNull(path);
  } catch (error) {
    throw failedWith(error, ...NOT_A_FILE) ? notAFile(path) : error;
  }
  if (facts === null) await refuseDanglingLink(path);
  else if (!facts.isFile()) throw notAFile(path);
  return facts;
}

/**
 * Called for a path that was not found. A dangling symbolic link looks like an absent file, but
 * nothing can be stored behind it, and what was stored there may only be out of reach (a disk that
 * is not mounted).
 *
 * @throws FixityError `store-misconfigured` if the path, or the nearest existing folder above it,
 *   is such a link
 */
export async function refuseDanglingLink(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => null);
  if (facts === null) {
    if (dirname(path) !== path) await refuseDanglingLink(dirname(path));
    return;
  }
  // A file that has been stored since is not a link.
  if (facts.isSymbolicLink() && (await statOrNull(path)) === null) throw danglingLink(path);
}

/**
 * All blobs, folder by folder, in the order of the file system. Skips names that are not a blob's,
 * and everything that has the name of a blob or of a folder of blobs without being one: see {@link
 * walkMisplaced}.
 */
export async function* walkBlobs(layout: Layout, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  try {
    for await (const folder of namesIn(layout.blobs)) {
      if (isFanOut(folder)) yield* walkFolder(layout, folder, signal);
    }
  } catch (error) {
    throw toFixityError(error);
  }
}

/** The blobs in one folder, as {@link walkBlobs} walks it. */
export async function* walkPrefix(
  layout: Layout,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlobStat> {
  signal?.throwIfAborted();
  try {
    yield* walkFolder(layout, prefix, signal);
  } catch (error) {
    throw toFixityError(error);
  }
}

/** Everything that has the name of a blob, or of a folder of blobs, and is something else. */
export async function* walkMisplaced(layout: Layout, signal: AbortSignal | undefined): AsyncGenerator<Misplaced> {
  try {
    for await (const folder of entriesIn(layout.blobs)) {
      if (!isFanOut(folder.name)) continue;
      const path = join(layout.blobs, folder.name);
      if (await isOther(path, folder, "isDirectory")) yield { path: `blobs/${folder.name}`, digest: null };
      for await (const entry of entriesIn(path, NOT_A_FOLDER)) {
        signal?.throwIfAborted();
        const digest = digestIn(folder.name, entry.name);
        if (digest === null || !(await isOther(layout.blob(digest), entry, "isFile"))) continue;
        yield { path: layout.blobBelowRoot(digest), digest };
      }
    }
  } catch (error) {
    throw toFixityError(error);
  }
}

/** The names in a folder, a batch at a time; none if the folder does not exist. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  for await (const { name } of entriesIn(path)) yield name;
}

async function* walkFolder(layout: Layout, folder: string, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  let batch: Digest[] = [];
  for await (const { name } of entriesIn(join(layout.blobs, folder), NOT_A_FOLDER)) {
    const digest = digestIn(folder, name);
    if (digest !== null) batch.push(digest);
    if (batch.length < WALK_BATCH_ENTRIES) continue;
    yield* statsOf(layout, batch, signal);
    batch = [];
  }
  yield* statsOf(layout, batch, signal);
}

async function* statsOf(
  layout: Layout,
  digests: readonly Digest[],
  signal: AbortSignal | undefined,
): AsyncGenerator<BlobStat> {
  signal?.throwIfAborted();
  const found = await Promise.all(digests.map((digest) => statThroughLinks(layout.blob(digest))));
  for (const [index, digest] of digests.entries()) {
    signal?.throwIfAborted();
    const facts = found[index];
    if (facts?.isFile()) yield statOf(digest, facts);
  }
}

/** The digest of the blob that an entry of a fan-out folder is named after, or `null`. */
function digestIn(folder: string, name: string): Digest | null {
  return name.startsWith(folder) ? Digest.fromHex(name) : null;
}

/** The facts of a path's target; `null` for a dangling link or a loop of links. */
async function statThroughLinks(path: string): Promise<Stats | null> {
  try {
    return await statOrNull(path);
  } catch (error) {
    if (failedWith(error, "ELOOP")) return null;
    throw error;
  }
}

/**
 * Whether an entry is neither what belongs in its place nor a link to it. False if it has been
 * removed meanwhile.
 */
async function isOther(path: string, entry: Dirent, kind: "isFile" | "isDirectory"): Promise<boolean> {
  if (entry[kind]() || (await statThroughLinks(path))?.[kind]() === true) return false;
  return (await lstat(path).catch(() => null)) !== null;
}

/** @param absent the answers of `opendir` that mean that there is nothing to walk */
async function* entriesIn(path: string, absent: readonly string[] = ["ENOENT"]): AsyncGenerator<Dirent> {
  let folder: Dir;
  try {
    folder = await opendir(path, { bufferSize: WALK_BATCH_ENTRIES });
  } catch (error) {
    if (failedWith(error, ...absent)) return;
    throw error;
  }
  yield* folder;
}

/** The message reaches clients and names no path; the cause, which is logged, does. */
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
