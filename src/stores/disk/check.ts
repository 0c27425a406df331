import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { FixityError } from "../../core/errors.ts";
import { stat } from "./calls.ts";
import type { Durability } from "./file-system.ts";
import { storeFault } from "./faults.ts";
import type { Folders } from "./folders.ts";
import type { Layout } from "./layout.ts";
import type { Log } from "./options.ts";
import type { StagingFile } from "./staging-file.ts";

/** What a check works with. */
export interface CheckParts {
  readonly layout: Layout;
  readonly folders: Folders;
  readonly durability: Durability;
  readonly log: Log;
  readonly collect: () => Promise<unknown>;
  readonly createFile: () => Promise<StagingFile>;
}

/**
 * Does once, in small, what every upload will do, and clears away what dead processes have left. A full disk passes: what
 * is stored can be read, and room may come.
 */
export async function checkStore(parts: CheckParts): Promise<void> {
  try {
    await parts.folders.makeBase();
    const { blobs, uploads } = parts.layout;
    for (const path of [blobs, uploads]) await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    await assertOneFileSystem(parts.layout);
    await parts.collect();
    await probe(parts);
  } catch (error) {
    const fault = storeFault(error);
    if (!(fault instanceof FixityError && fault.code === "store-full")) throw error;
    parts.log("the store is full: blobs can be read, uploads are refused", error);
  }
}

async function assertOneFileSystem({ blobs, staging, uploads }: Layout): Promise<void> {
  const devices = await Promise.all([blobs, staging, uploads].map(async (path) => (await stat(path)).dev));
  if (new Set(devices).size === 1) return;
  throw new FixityError(
    "store-misconfigured",
    "The store's folder must lie on one file system, with all that is in it.",
  );
}

async function probe({ layout, durability, createFile }: CheckParts): Promise<void> {
  const file = await createFile();
  try {
    const bytes = Buffer.from("Can this be written?\n");
    await file.append([bytes], bytes.length);
    await file.seal();
    await durability.folder(layout.blobs);
  } finally {
    await file.discard();
  }
}
