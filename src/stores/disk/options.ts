import { resolve } from "node:path";
import { inspect } from "node:util";
import { FixityError } from "../../core/errors.ts";

/** What a store promises of acknowledged blobs; see {@link DiskStoreOptions.durability}. */
export type DurabilityLevel = "full" | "none";

/** Tells of trouble that fails no call: a staging file that could not be removed, a damaged blob that was replaced. */
export type Log = (message: string, error?: unknown) => void;

/** How a disk store is set up. */
export interface DiskStoreOptions {
  /** The folder to keep everything in. It is made where it is missing. A relative one counts from the current folder. */
  readonly root: string;
  /**
   * `full`: what is acknowledged outlives a power cut. `none`: nothing is flushed to the disk, which is quicker and loses
   * acknowledged blobs in a power cut; for tests and for what can be made again.
   *
   * @default "full"
   */
  readonly durability?: DurabilityLevel;
  /**
   * The id of a group whose members may read the blobs of a new store: that of a web server that sends the files. The
   * process must be a member. Without, a new store is closed to all other users; a store that exists keeps the modes it has.
   *
   * @default none
   */
  readonly group?: number;
  /**
   * Where trouble goes that fails no call.
   *
   * @default Node's process warnings, of type `FixityWarning`
   */
  readonly log?: Log;
}

/** {@link DiskStoreOptions}, checked and complete. */
export interface ResolvedDiskOptions {
  /** Absolute. */
  readonly root: string;
  /** As it was given. */
  readonly givenRoot: string;
  readonly durability: DurabilityLevel;
  readonly group: number | null;
  readonly log: Log;
}

/** @throws FixityError `invalid-option` */
export function resolveDiskOptions(options: DiskStoreOptions): ResolvedDiskOptions {
  const { root, durability = "full", group = null, log = warn } = options;
  if (typeof root !== "string" || root === "" || root.includes("\0")) {
    throw new FixityError("invalid-option", "root must be the path of a folder.");
  }
  if (durability !== "full" && durability !== "none") {
    throw new FixityError("invalid-option", "durability must be full or none.");
  }
  if (group !== null && !(Number.isSafeInteger(group) && group >= 0)) {
    throw new FixityError("invalid-option", "group must be the id of a group, a whole number.");
  }
  return { root: absolute(root), givenRoot: root, durability, group, log };
}

function absolute(root: string): string {
  try {
    return resolve(root);
  } catch (cause) {
    const message = "The current folder is gone. Start from another, or name the store's folder by its whole path.";
    throw new FixityError("invalid-option", message, { cause });
  }
}

function warn(message: string, error?: unknown): void {
  process.emitWarning(message, { type: "FixityWarning", ...(error !== undefined && { detail: inspect(error) }) });
}
