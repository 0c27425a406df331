import type { Dir, Stats } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { Digest } from "../../core/digest.ts";
import type { BlobStat } from "../../core/store.ts";
import { failedWith, storeFault } from "./faults.ts";
import { isFanOut, type Layout } from "./layout.ts";
import { statOf, statOrNull } from "./publisher.ts";

/** Entries looked at together. */
const BATCH = 64;

/** All blobs, folder by folder, in the order that the file system gives. What is not named like a blob is passed over. */
export async function* walkBlobs(layout: Layout, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  try {
    for await (const folder of namesIn(layout.blobs)) {
      if (isFanOut(folder)) yield* walkFolder(layout, folder, signal);
    }
  } catch (error) {
    throw storeFault(error);
  }
}

async function* walkFolder(layout: Layout, folder: string, signal: AbortSignal | undefined): AsyncGenerator<BlobStat> {
  let batch: Digest[] = [];
  for await (const name of namesIn(join(layout.blobs, folder))) {
    const digest = name.startsWith(folder) ? Digest.fromHex(name) : null;
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
  const found = await Promise.all(digests.map((digest) => statUnlessLoop(layout.blob(digest))));
  for (const [index, digest] of digests.entries()) {
    signal?.throwIfAborted();
    const facts = found[index];
    if (facts?.isFile()) yield statOf(digest, facts);
  }
}

/** What is in the place of a blob and is not a file is passed over: a circle of links, too. */
async function statUnlessLoop(path: string): Promise<Stats | null> {
  try {
    return await statOrNull(path);
  } catch (error) {
    if (failedWith(error, "ELOOP")) return null;
    throw error;
  }
}

/** The names in a folder, some at a time; none where there is no such folder. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  let folder: Dir;
  try {
    folder = await opendir(path, { bufferSize: BATCH });
  } catch (error) {
    if (failedWith(error, "ENOENT")) return;
    throw error;
  }
  for await (const entry of folder) yield entry.name;
}
