import type { Dir, Dirent, Stats } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { Digest } from "../../core/digest.ts";
import type { BlobStat, Misplaced } from "../../core/store.ts";
import { statOf } from "./blob-files.ts";
import { lstat, statOrNull } from "./calls.ts";
import { failedWith, storeFault } from "./faults.ts";
import { isFanOut, type Layout } from "./layout.ts";

/** Entries looked at together. */
const BATCH = 64;

/** What `opendir` answers where there is no folder of blobs, but nothing, something else, or a circle of links. */
const NO_FOLDER = ["ENOENT", "ENOTDIR", "ELOOP"] as const;

/**
 * All blobs, folder by folder, in the order that the file system gives. What is not named like a blob is passed over, and
 * so is what has the name of a blob, or of a folder of blobs, and is not one: see {@link walkMisplaced}.
 */
export async function* walkBlobs(layout: Layout, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  try {
    for await (const folder of namesIn(layout.blobs)) {
      if (isFanOut(folder)) yield* walkFolder(layout, folder, signal);
    }
  } catch (error) {
    throw storeFault(error);
  }
}

/** What has the name of a blob, or of a folder of blobs, and is not one: a folder, a FIFO, a link that leads nowhere. */
export async function* walkMisplaced(layout: Layout, signal: AbortSignal | undefined): AsyncGenerator<Misplaced> {
  try {
    for await (const folder of entriesIn(layout.blobs)) {
      if (!isFanOut(folder.name)) continue;
      const path = join(layout.blobs, folder.name);
      if (await isOther(path, folder, "isDirectory")) yield { path: `blobs/${folder.name}`, digest: null };
      for await (const entry of entriesIn(path, NO_FOLDER)) {
        signal?.throwIfAborted();
        const digest = digestIn(folder.name, entry.name);
        if (digest === null || !(await isOther(layout.blob(digest), entry, "isFile"))) continue;
        yield { path: layout.blobBelowRoot(digest), digest };
      }
    }
  } catch (error) {
    throw storeFault(error);
  }
}

async function* walkFolder(layout: Layout, folder: string, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  let batch: Digest[] = [];
  for await (const { name } of entriesIn(join(layout.blobs, folder), NO_FOLDER)) {
    const digest = digestIn(folder, name);
    if (digest !== null) batch.push(digest);
    if (batch.length < BATCH) continue;
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
  const found = await Promise.all(digests.map((digest) => statThrough(layout.blob(digest))));
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

/** The facts of what a path leads to; `null` for a link that leads nowhere, or in a circle. */
async function statThrough(path: string): Promise<Stats | null> {
  try {
    return await statOrNull(path);
  } catch (error) {
    if (failedWith(error, "ELOOP")) return null;
    throw error;
  }
}

/** Whether an entry is neither what belongs in its place nor a link to such; not for one that was removed meanwhile. */
async function isOther(path: string, entry: Dirent, kind: "isFile" | "isDirectory"): Promise<boolean> {
  if (entry[kind]() || (await statThrough(path))?.[kind]() === true) return false;
  return (await lstat(path).catch(() => null)) !== null;
}

/** The names in a folder, some at a time; none where there is no such folder. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  for await (const { name } of entriesIn(path)) yield name;
}

/** @param passOver what `opendir` may answer where there is nothing to walk */
async function* entriesIn(path: string, passOver: readonly string[] = ["ENOENT"]): AsyncGenerator<Dirent> {
  let folder: Dir;
  try {
    folder = await opendir(path, { bufferSize: BATCH });
  } catch (error) {
    if (failedWith(error, ...passOver)) return;
    throw error;
  }
  yield* folder;
}
