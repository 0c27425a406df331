import { resolve } from "node:path";
import { inspect } from "node:util";
import { redacted } from "../../base/redact.ts";
import { FixityError } from "../../core/errors.ts";

/** What a store promises for acknowledged blobs; see {@link DiskStoreOptions.durability}. */
export type DurabilityLevel = "full" | "none";

/**
 * Receives failures that fail no call: a staging file that could not be removed, a damaged blob
 * that was replaced.
 */
export type Log = (message: string, error?: unknown) => void;

/** Options of a disk store. */
export interface DiskStoreOptions {
  /**
   * The folder of the store. It is created if it is missing. A relative path starts at the current
   * folder.
   */
  readonly root: string;
  /**
   * `full`: what is acknowledged survives a power failure. `none`: nothing is flushed to the disk,
   * which is faster and loses acknowledged blobs in a power failure; for tests and for data that
   * can be regenerated.
   *
   * @default "full"
   */
  readonly durability?: DurabilityLevel;
  /**
   * The id of a group whose members may read the blobs of a new store, such as that of a web server
   * that sends the files. The process must be a member. Without it, a new store is closed to all
   * other users; an existing store keeps its modes.
   *
   * @default none
   */
  readonly group?: number;
  /**
   * Receives failures that fail no call.
   *
   * @default Node's process warnings, of type `FixityWarning`
   */
  readonly log?: Log;
}

/** {@link DiskStoreOptions}, validated and complete. */
export interface ResolvedDiskOptions {
  /** Absolute. */
  readonly root: string;
  /** As the caller gave it. */
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
  process.emitWarning(message, {
    type: "FixityWarning",
    ...(error !== undefined && { detail: redacted(inspect(error)) }),
  });
}
