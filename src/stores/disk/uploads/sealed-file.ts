import { constants } from "node:fs";
import { FixityError } from "../../../core/errors.ts";
import { close, fchmod, fstat, ftruncate, open } from "../calls.ts";
import type { Durability } from "../durability.ts";
import { failedWith } from "../faults.ts";

/** What a blob's file may allow: to read. */
const READABLE = 0o444;

/**
 * Makes a file of exactly `size` bytes out of one that may have more, read-only and durable, as a blob is. A file that has
 * a second name is a blob already, and left as it is.
 *
 * @throws FixityError `store-unavailable` where it has fewer, or is a blob of another size
 */
export async function sealFile(path: string, size: number, durability: Durability): Promise<void> {
  const fd = await openToSeal(path);
  try {
    const facts = await fstat(fd);
    if (facts.size < size || (facts.nlink > 1 && facts.size !== size)) {
      throw new FixityError("store-unavailable", "The upload's bytes are not all there.");
    }
    if (facts.size > size) await ftruncate(fd, size);
    if (facts.nlink === 1) await fchmod(fd, facts.mode & READABLE);
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
