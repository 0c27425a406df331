import { closeSync, fsyncSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { constants } from "node:os";
import { Semaphore } from "../../base/semaphore.ts";
import { HARD_LINKS_UNSUPPORTED } from "../../base/system-errors.ts";
import { type ErrorCode, FixityError } from "../../core/errors.ts";
import type { Collected } from "../../core/store.ts";
import { close, fdatasync, fsync, link, lstat, open, unlink } from "./calls.ts";
import type { DurabilityLevel, Log } from "./options.ts";

/** What a failing system call means to the person who made the request, and to the operator. */
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
  ELOOP: ["store-misconfigured", "The path of the store's folder is a loop of symbolic links."],
  EXDEV: ["store-misconfigured", "The store's folder must lie on one file system, with all that is in it."],
  EFBIG: ["store-misconfigured", "The store's file system takes no file of this size."],
  EMFILE: ["store-unavailable", "The store has too many files open."],
  ENFILE: ["store-unavailable", "The store has too many files open."],
};

/** Node has no name for this error ("Unknown system error -122"), though it knows the number. */
const EDQUOT_ERRNO = -constants.errno.EDQUOT;

/**
 * Unwritten bytes from which a flush takes long. At most two such flushes run at a time: each
 * blocks one of Node's few threads for file work (four by default), which small uploads and
 * downloads need too.
 */
const LONG_FLUSH_MIN_BYTES = 4 * 1024 * 1024;
const LONG_FLUSHES_MAX = 2;

/**
 * Leftovers that are remembered. If the file system refuses every removal, the next start finds the
 * rest.
 */
const LEFTOVERS_MAX = 10_000;

/**
 * Windows has no call to flush a folder; NTFS writes its metadata in order through its own journal.
 */
const CANNOT_FLUSH_FOLDERS = process.platform === "win32";

/** What a store removes. A folder is removed with everything in it. */
export type LeftoverKind =
  | "a staging file"
  | "a file of an upload"
  | "a request for an upload"
  | "a folder of an upload"
  | "a file of a document"
  | "a folder of a document";

/** The flush of a folder that is running, and the one that follows it. */
interface FolderFlush {
  ended: Promise<void>;
  next: Promise<void> | null;
}

/**
 * How a store treats its file system: what it flushes, and what becomes of a removal that fails.
 */
export class FileSystem {
  readonly log: Log;
  /** Whether anything is flushed. With durability `none` every flush returns at once. */
  readonly isDurable: boolean;
  readonly #longFlushes = new Semaphore(LONG_FLUSHES_MAX);
  readonly #folderFlushes = new Map<string, FolderFlush>();
  #isFlushingEarly = false;
  /** Paths whose removal has failed. */
  readonly #leftovers = new Map<string, LeftoverKind>();

  constructor(level: DurabilityLevel, log: Log) {
    this.isDurable = level === "full";
    this.log = log;
  }

  /**
   * Flushes a file that was written through `fd`. After a failure the caller abandons the file: the
   * kernel reports the failure once and may then mark lost pages as clean (PostgreSQL's
   * "fsyncgate").
   *
   * @param unflushed about how many bytes have been written since the last flush
   */
  flushFile(fd: number, unflushed: number): Promise<void> {
    if (!this.isDurable) return Promise.resolve();
    return unflushed < LONG_FLUSH_MIN_BYTES ? fsync(fd) : this.#longFlushes.run(() => fsync(fd));
  }

  /**
   * Flushes what was written through `fd` before this call, and of the file's metadata only what is
   * needed to read it. For a file that keeps growing. A failure is as final as one of
   * {@link flushFile}.
   */
  flushData(fd: number, unflushed: number): Promise<void> {
    if (!this.isDurable) return Promise.resolve();
    return unflushed < LONG_FLUSH_MIN_BYTES ? fdatasync(fd) : this.#longFlushes.run(() => fdatasync(fd));
  }

  /**
   * Begins to flush what has been written so far while more arrives, so that the final flush is
   * short. `null` if that is not wanted, or another early flush is running.
   */
  flushEarly(fd: number): Promise<void> | null {
    if (!this.isDurable || this.#isFlushingEarly) return null;
    this.#isFlushingEarly = true;
    return fdatasync(fd).finally(() => {
      this.#isFlushingEarly = false;
    });
  }

  /**
   * Flushes a file that another writer has written, through a descriptor that may be open for
   * reading only.
   */
  async flushForeignFile(fd: number): Promise<void> {
    try {
      await this.flushFile(fd, 0);
    } catch (error) {
      // Windows flushes only files open for writing, which a blob never is again. Its writer
      // flushed it before it became a blob.
      if (!(process.platform === "win32" && failedWith(error, "EPERM", "EACCES"))) throw error;
    }
  }

  /**
   * Flushes a folder: entries that were added or removed before this call are durable when it
   * returns. Concurrent callers share a flush, but never one that had begun before they called: it
   * may have missed their change.
   */
  flushFolder(path: string): Promise<void> {
    if (!this.isDurable) return Promise.resolve();
    const running = this.#folderFlushes.get(path);
    if (running === undefined) return this.#flushFolderNow(path);
    running.next ??= running.ended.then(() => this.#flushFolderNow(path));
    return running.next;
  }

  /**
   * Removes something that may not exist. A removal that fails (EIO of a network file system, a
   * file that another program keeps open) fails no upload: it is logged and retried by {@link
   * retryRemovals}. Otherwise a staging file would remain as a second name of its blob, whose
   * deletion would then free no space. The name in `path` must never be used again, so that a later
   * retry cannot hit something new. Never throws.
   */
  async remove(path: string, kind: LeftoverKind): Promise<void> {
    try {
      await removeNow(path, kind);
    } catch (error) {
      this.noteUnremoved(path, kind, error);
    }
  }

  /** Remembers something whose removal has failed. */
  noteUnremoved(path: string, kind: LeftoverKind, error: unknown): void {
    if (this.#leftovers.size < LEFTOVERS_MAX) this.#leftovers.set(path, kind);
    this.log(`${kind} could not be removed; the next collection tries again`, error);
  }

  /** Cancels the retries for something that is needed again. */
  cancelRemoval(path: string): void {
    this.#leftovers.delete(path);
  }

  /** Retries all failed removals. Never throws. @returns the staging files that are gone now */
  async retryRemovals(): Promise<Collected> {
    let collected: Collected = { staged: 0, bytes: 0 };
    for (const [path, kind] of this.#leftovers) {
      const facts = kind === "a staging file" ? await lstat(path).catch(() => null) : null;
      try {
        await removeNow(path, kind);
      } catch {
        continue;
      }
      this.#leftovers.delete(path);
      // The second name of a blob occupies no space of its own.
      if (facts?.nlink === 1) collected = { staged: collected.staged + 1, bytes: collected.bytes + facts.size };
    }
    return collected;
  }

  #flushFolderNow(path: string): Promise<void> {
    const flushed = flushFolder(path);
    const flush: FolderFlush = { ended: Promise.resolve(), next: null };
    const end = () => {
      if (flush.next === null) this.#folderFlushes.delete(path);
    };
    flush.ended = flushed.then(end, end);
    this.#folderFlushes.set(path, flush);
    return flushed;
  }
}

/**
 * The folder is opened for each flush. Keeping descriptors of the fan-out folders gains nothing
 * that can be measured, and a descriptor of a folder that has been moved or replaced would flush
 * the wrong one.
 */
async function flushFolder(path: string): Promise<void> {
  if (CANNOT_FLUSH_FOLDERS) return;
  const fd = await open(path, "r");
  try {
    await fsync(fd);
  } catch (error) {
    throw folderFault(error);
  } finally {
    await close(fd);
  }
}

/**
 * Flushes a folder by blocking calls, in a thread of its own. What it throws goes through {@link
 * folderFault}.
 */
export function flushFolderBlocking(path: string): void {
  if (CANNOT_FLUSH_FOLDERS) return;
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The error for a folder that could not be flushed. */
export function folderFault(error: unknown): unknown {
  if (!failedWith(error, "EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")) return error;
  return new FixityError("store-misconfigured", "The store's file system cannot make a folder durable.", {
    cause: error,
  });
}

async function removeNow(path: string, kind: LeftoverKind): Promise<void> {
  if (kind === "a folder of an upload" || kind === "a folder of a document")
    return rm(path, { recursive: true, force: true });
  try {
    await unlink(path);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
}

/**
 * The error to throw for one that was caught: a failed system call becomes a `FixityError`;
 * anything else (a `FixityError`, the reason of an aborted signal) is kept.
 */
export function toFixityError(thrown: unknown): unknown {
  if (!isSystemError(thrown)) return thrown;
  const name = thrown.errno === EDQUOT_ERRNO ? "EDQUOT" : thrown.code;
  const [code, message] = MEANINGS[name] ?? ["store-unavailable", "The store could not be read or written."];
  return new FixityError(code, message, { cause: thrown });
}

/**
 * Gives a file a second name. `false` if the name is taken, `null` if the file system has no hard
 * links.
 */
export async function linkIfFree(from: string, to: string): Promise<boolean | null> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (failedWith(error, "EEXIST")) return false;
    if (failedWith(error, ...HARD_LINKS_UNSUPPORTED)) return null;
    throw error;
  }
}

/** Runs `work`, with failed system calls thrown as `FixityError`s. */
export async function withStoreErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toFixityError(error);
  }
}

/** Whether `thrown` is a failed system call with one of these codes. */
export function failedWith(thrown: unknown, ...codes: readonly string[]): boolean {
  return isSystemError(thrown) && codes.includes(thrown.code);
}

function isSystemError(thrown: unknown): thrown is NodeJS.ErrnoException & { readonly code: string } {
  return thrown instanceof Error && "errno" in thrown && "code" in thrown && typeof thrown.code === "string";
}
