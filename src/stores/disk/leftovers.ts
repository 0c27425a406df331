import { rm } from "node:fs/promises";
import type { Collected } from "../../core/store.ts";
import { lstat, unlink } from "./calls.ts";
import { failedWith } from "./faults.ts";
import type { Log } from "./options.ts";

/** What can be left over. A folder is removed with everything in it. */
export type LeftoverKind =
  | "a staging file"
  | "a file of an upload"
  | "a request for an upload"
  | "a folder of an upload";

/** Paths that are remembered. Where the file system refuses every removal, the next start finds the rest. */
const LEFTOVERS_MAX = 10_000;

/**
 * Removes what a store no longer needs. A removal that fails (EIO of a network file system, a file that another program
 * keeps open) fails no upload: the path is remembered, and tried again at the next collection and when the store is closed.
 * Otherwise a staging file would stay as a second name of its blob, whose deletion would then free no space.
 *
 * Every path must be of a name that is used once, so that a later removal cannot hit something new.
 */
export class Leftovers {
  readonly #kinds = new Map<string, LeftoverKind>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Removes something that may be gone already: now or, if that fails, later. Does not fail. */
  async remove(path: string, kind: LeftoverKind): Promise<void> {
    try {
      await removeNow(path, kind);
    } catch (error) {
      this.add(path, kind, error);
    }
  }

  /** Remembers something whose removal has just failed. */
  add(path: string, kind: LeftoverKind, error: unknown): void {
    if (this.#kinds.size < LEFTOVERS_MAX) this.#kinds.set(path, kind);
    this.#log(`${kind} could not be removed; the next collection tries again`, error);
  }

  /** Something that was to be removed is needed again. */
  forget(path: string): void {
    this.#kinds.delete(path);
  }

  /** Tries again to remove everything that is left. Does not fail. @returns the staging files that are gone now */
  async retry(): Promise<Collected> {
    let collected: Collected = { staged: 0, bytes: 0 };
    for (const [path, kind] of this.#kinds) {
      const facts = kind === "a staging file" ? await lstat(path).catch(() => null) : null;
      try {
        await removeNow(path, kind);
      } catch {
        continue;
      }
      this.#kinds.delete(path);
      // the second name of a blob holds no space of its own
      if (facts?.nlink === 1) collected = { staged: collected.staged + 1, bytes: collected.bytes + facts.size };
    }
    return collected;
  }
}

async function removeNow(path: string, kind: LeftoverKind): Promise<void> {
  if (kind === "a folder of an upload") return rm(path, { recursive: true, force: true });
  try {
    await unlink(path);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
}
