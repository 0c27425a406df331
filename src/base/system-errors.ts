/**
 * The code of a failed system call, such as `ENOENT`, from the error or its causes; `null` if no
 * system call failed.
 */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if ("code" in error && "errno" in error && typeof error.code === "string") return error.code;
  return systemErrorCode(error.cause);
}

/**
 * The error codes of `link` on file systems that do not support hard links:
 *
 * - EPERM: FAT, exFAT and most others (link(2))
 * - ENOTSUP, EOPNOTSUPP: CIFS, and the BSDs
 * - ENOSYS: FUSE file systems that do not implement the call; old exFAT drivers
 * - EACCES: Android since version 6, and FUSE on top of its storage
 * - EINVAL: some network and FUSE servers that do not know the request
 * - EMLINK: file systems that allow a single name per file
 * - EISDIR: Windows, where libuv maps "invalid function" of FAT and exFAT to this code
 *
 * EACCES and EPERM can also mean a missing permission. The fallback, a rename, then fails with the
 * same code.
 */
export const HARD_LINKS_UNSUPPORTED = [
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EACCES",
  "EINVAL",
  "EMLINK",
  "EISDIR",
] as const;
