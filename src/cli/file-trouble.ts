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

/** The code of a system error, such as `ENOENT`; `null` where `error` is none, and none led to it. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if ("code" in error && "errno" in error && typeof error.code === "string") return error.code;
  return systemCode(error.cause);
}

/** What a failed call on a file means for its user. */
export function fileTrouble(error: unknown): string {
  const code = systemCode(error) ?? "";
  return TROUBLES[code] ?? `it cannot be used (${code === "" ? "for a reason that the system does not tell" : code})`;
}
