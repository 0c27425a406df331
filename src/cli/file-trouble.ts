import { systemErrorCode } from "../base/system-errors.ts";

/** What went wrong with a file of the user's, and what to do about it; without the file's name. */
const TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "is a folder",
  ELOOP: "its symbolic links lead in a circle",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open: try a smaller --concurrency",
  EIO: "the disk failed to read or write it (EIO)",
  ENOSPC: "no room is left on the disk",
  EDQUOT: "no room is left in your quota",
  EFBIG: "the file system takes no file that large",
  EROFS: "the file system is read-only",
};

/** What a failed call on a file means for its user. */
export function fileTrouble(error: unknown): string {
  const code = systemErrorCode(error) ?? "";
  return TROUBLES[code] ?? `it cannot be used (${code === "" ? "for a reason that the system does not tell" : code})`;
}
