import { FixityError } from "../../core/errors.ts";
import { writev } from "./calls.ts";
import { behind } from "./chunks.ts";

/** Writes all the chunks, `length` bytes, from `position` on, or where `null` behind what was written before. */
export async function writeChunks(
  fd: number,
  chunks: readonly Uint8Array[],
  { length, position }: { readonly length: number; readonly position: number | null },
): Promise<void> {
  let rest = chunks;
  let written = 0;
  while (written < length) {
    // A call may take less than it was given: near a full disk, or after a signal. The next one tells why.
    const taken = await writev(fd, rest, position === null ? null : position + written);
    if (taken === 0) throw new FixityError("store-unavailable", "The store takes no more bytes, and gives no reason.");
    written += taken;
    if (written < length) rest = behind(rest, taken);
  }
}
