import { constants } from "node:fs";
import { FixityError } from "../../../core/errors.ts";
import { close, fchmod, fchown, fstat, ftruncate, open } from "../calls.ts";
import type { Durability } from "../file-system.ts";
import { failedWith } from "../faults.ts";
import type { Modes } from "../modes.ts";

/** A file of an upload, all of whose bytes are in it. */
export interface FileToSeal {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly modes: Modes;
}

/**
 * Makes a file of exactly `size` bytes out of one that may have more, durable and, where the file system has modes,
 * read-only, as a blob is. A file that has a second name is a blob already and stays as it is.
 *
 * @throws FixityError `store-unavailable` where it has fewer, or is a blob of another size
 */
export async function sealFile({ path, size, modes }: FileToSeal, durability: Durability): Promise<void> {
  const fd = await openToSeal(path);
  try {
    const facts = await fstat(fd);
    if (facts.size < size || (facts.nlink > 1 && facts.size !== size)) {
      throw new FixityError("store-unavailable", "The upload's bytes are not all there.");
    }
    if (facts.size > size) await ftruncate(fd, size);
    if (facts.nlink === 1) await makeReadOnly(fd, facts.mode, modes);
    await durability.foreignFile(fd);
  } finally {
    await close(fd);
  }
}

/** A file that was sealed before can be read only, and need not be changed. */
async function openToSeal(path: string): Promise<number> {
  try {
    return await open(path, constants.O_WRONLY);
  } catch (error) {
    if (!failedWith(error, "EACCES", "EPERM")) throw error;
    return open(path, "r");
  }
}

/** What file systems answer to `fchmod` where modes cannot be changed: CIFS, FAT, exFAT and many FUSE file systems. */
export const NO_MODES = ["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL"] as const;

/** The mode protects a blob from mistakes of other programs. fixity itself never relies on it, so a refusal is ignored. */
async function makeReadOnly(fd: number, mode: number, modes: Modes): Promise<void> {
  try {
    if (modes.gid !== null) await fchown(fd, -1, modes.gid);
    await fchmod(fd, modes.sealed(mode));
  } catch (error) {
    if (!failedWith(error, ...NO_MODES)) throw error;
  }
}
