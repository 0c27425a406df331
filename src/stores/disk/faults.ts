import { constants } from "node:os";
import { type ErrorCode, FixityError } from "../../core/errors.ts";

/** What a failing system call means for the person who made the request, and for the one who set the store up. */
const MEANINGS: Readonly<Record<string, readonly [code: ErrorCode, message: string]>> = {
  ENOSPC: ["store-full", "No room is left in the store."],
  EDQUOT: ["store-full", "No room is left in the store."],
  EROFS: ["store-misconfigured", "The store's folder is read-only."],
  EACCES: ["store-misconfigured", "The store's folder may not be used: a permission is missing."],
  EPERM: ["store-misconfigured", "The store's folder may not be used: a permission is missing."],
  ENOTDIR: ["store-misconfigured", "The store's folder, or one above it, is a file."],
  EEXIST: ["store-misconfigured", "The store's folder, or one above it, is a file."],
  EISDIR: ["store-misconfigured", "A folder stands where the store keeps a file."],
  ENAMETOOLONG: ["store-misconfigured", "The path of the store's folder is too long."],
  ELOOP: ["store-misconfigured", "The path of the store's folder is a circle of links."],
  EXDEV: ["store-misconfigured", "The store's folder must lie on one file system, with all that is in it."],
  EFBIG: ["store-misconfigured", "The store's file system takes no file of this size."],
  EMFILE: ["store-unavailable", "The store has too many files open."],
  ENFILE: ["store-unavailable", "The store has too many files open."],
};

/** Node has no name for it ("Unknown system error -122"), though it knows the number. */
const OVER_QUOTA = -constants.errno.EDQUOT;

/**
 * What to throw where `thrown` was caught: the failure of a system call becomes a `FixityError`, everything else (a
 * `FixityError`, the reason of an aborted signal) stays what it is.
 */
export function storeFault(thrown: unknown): unknown {
  if (!isSystemError(thrown)) return thrown;
  const name = thrown.errno === OVER_QUOTA ? "EDQUOT" : thrown.code;
  const [code, message] = MEANINGS[name] ?? ["store-unavailable", "The store could not be read or written."];
  return new FixityError(code, message, { cause: thrown });
}

/** Failed system calls leave the store as `FixityError`s. */
export async function faultsTold<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeFault(error);
  }
}

/** Whether a system call failed, and with one of these codes. */
export function failedWith(thrown: unknown, ...codes: readonly string[]): boolean {
  return isSystemError(thrown) && codes.includes(thrown.code);
}

function isSystemError(thrown: unknown): thrown is NodeJS.ErrnoException & { readonly code: string } {
  return thrown instanceof Error && "errno" in thrown && "code" in thrown && typeof thrown.code === "string";
}
