import { closeSync, fsyncSync, openSync } from "node:fs";
import { FixityError } from "../../core/errors.ts";
import { close, fsync, open } from "./calls.ts";
import { failedWith } from "./faults.ts";

/** Windows has no call for it; NTFS writes its metadata in order by its own journal. */
const CANNOT = process.platform === "win32";

/**
 * Brings the entries of a folder to the disk. It is opened anew for each flush: to keep descriptors of the fan-out folders
 * gains nothing that can be measured, and one of a folder that was moved or removed underneath would flush the wrong one.
 */
export async function flushFolder(path: string): Promise<void> {
  if (CANNOT) return;
  const fd = await open(path, "r");
  try {
    await fsync(fd);
  } catch (error) {
    throw folderFault(error);
  } finally {
    await close(fd);
  }
}

/** The same by blocking calls, for a thread of its own. What it throws is for {@link folderFault}. */
export function flushFolderBlocking(path: string): void {
  if (CANNOT) return;
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** What a failed flush of a folder means. */
export function folderFault(error: unknown): unknown {
  if (!failedWith(error, "EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")) return error;
  return new FixityError("store-misconfigured", "The store's file system cannot make a folder durable.", {
    cause: error,
  });
}
