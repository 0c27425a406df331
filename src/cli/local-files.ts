import { stat } from "node:fs/promises";
import { isDead, ownerOf, thisProcess } from "../base/process-identity.ts";
import { systemErrorCode } from "../base/system-errors.ts";

/** What went wrong with a file of the user, without its name. */
const FILE_ERROR_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "is a folder",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many open files: try a smaller --concurrency",
  EIO: "the disk failed to read or write it (EIO)",
  ENOSPC: "no space left on the disk",
  EDQUOT: "disk quota exceeded",
  EFBIG: "too large for the file system",
  EROFS: "the file system is read-only",
};

/** Explains a failed call on a file to its user. */
export function fileErrorText(error: unknown): string {
  const code = systemErrorCode(error);
  if (code === null) return "it cannot be read or written, for an unknown reason";
  return FILE_ERROR_TEXTS[code] ?? `it cannot be read or written (${code})`;
}

/**
 * Waits for a call that moves or removes a file. Returns `false` if the file no longer exists,
 * because another process was faster.
 */
export async function unlessGone(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** When a file was last modified; `null` if it does not exist. */
export async function lastModified(path: string): Promise<Date | null> {
  try {
    return (await stat(path)).mtime;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  }
}

/**
 * Whether a file belongs to a dead process.
 *
 * @param ownerName the part of its name that `newName` in base/process-identity created
 */
export async function isAbandoned(path: string, ownerName: string): Promise<boolean> {
  const owner = ownerOf(ownerName);
  if (owner === null) return false;
  const lastSign = await lastModified(path);
  return lastSign !== null && isDead(owner, thisProcess(), lastSign);
}
