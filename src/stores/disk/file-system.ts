import { Semaphore } from "../../base/semaphore.ts";
import { fdatasync, fsync } from "./calls.ts";
import { failedWith } from "./faults.ts";
import { flushFolder } from "./folder-flush.ts";
import type { DurabilityLevel } from "./options.ts";

/**
 * Unwritten bytes from which a flush takes long. At most two such flushes run at a time: each blocks one of Node's few
 * threads for file work (four by default), which small uploads and downloads need too.
 */
const LONG_FLUSH_MIN_BYTES = 4 * 1024 * 1024;

/** The flush of a folder that runs now, and the one that starts after it. */
interface Turn {
  ended: Promise<void>;
  next: Promise<void> | null;
}

/** Brings files and folders to the disk. With level `none` it does nothing, at once. */
export class Durability {
  readonly #level: DurabilityLevel;
  readonly #long = new Semaphore(2);
  readonly #turns = new Map<string, Turn>();
  #early = false;

  constructor(level: DurabilityLevel) {
    this.#level = level;
  }

  /** Whether anything is flushed at all. */
  get flushes(): boolean {
    return this.#level === "full";
  }

  /**
   * Flushes a file that was written through `fd`. After a failure the caller gives the file up: the kernel reports it once
   * and may then call lost pages clean (PostgreSQL's "fsyncgate").
   */
  file(fd: number, unflushed: number): Promise<void> {
    if (!this.flushes) return Promise.resolve();
    return unflushed < LONG_FLUSH_MIN_BYTES ? fsync(fd) : this.#long.run(() => fsync(fd));
  }

  /**
   * Flushes what was written through `fd` before this call, and of its facts only what is needed to read it. For a file
   * that goes on growing; a failure is as final as one of {@link file}.
   */
  data(fd: number, unflushed: number): Promise<void> {
    if (!this.flushes) return Promise.resolve();
    return unflushed < LONG_FLUSH_MIN_BYTES ? fdatasync(fd) : this.#long.run(() => fdatasync(fd));
  }

  /**
   * Starts to flush what was written so far, while more is coming in, so that the flush at the end is short. `null` where
   * that is not wanted or another file's early flush is under way.
   */
  earlyFlush(fd: number): Promise<void> | null {
    if (!this.flushes || this.#early) return null;
    this.#early = true;
    return fdatasync(fd).finally(() => {
      this.#early = false;
    });
  }

  /** Flushes a file that somebody else has written, through a descriptor opened for reading. */
  async foreignFile(fd: number): Promise<void> {
    try {
      await this.file(fd, 0);
    } catch (error) {
      // Windows flushes only what is open for writing, which a blob never is again. Its writer flushed it before it
      // became a blob.
      if (!(process.platform === "win32" && failedWith(error, "EPERM", "EACCES"))) throw error;
    }
  }

  /**
   * Flushes a folder: what was made, linked or removed in it before this call is durable when the promise resolves.
   * Callers at the same time share a flush, but never one that had begun before they came: it may have missed them.
   */
  folder(path: string): Promise<void> {
    if (!this.flushes) return Promise.resolve();
    const turn = this.#turns.get(path);
    if (turn === undefined) return this.#flushNow(path);
    turn.next ??= turn.ended.then(() => this.#flushNow(path));
    return turn.next;
  }

  #flushNow(path: string): Promise<void> {
    const flushed = flushFolder(path);
    const turn: Turn = { ended: Promise.resolve(), next: null };
    const end = () => {
      if (turn.next === null) this.#turns.delete(path);
    };
    turn.ended = flushed.then(end, end);
    this.#turns.set(path, turn);
    return flushed;
  }
}
