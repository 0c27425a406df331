import { createHash } from "node:crypto";
import { setImmediate as yieldToOthers } from "node:timers/promises";

/** Bytes hashed in one go: a few hundred microseconds, for which everything else stands still. */
const HASH_SLICE = 1024 * 1024;

/** SHA-256 in hex of what may be many megabytes; others get their turn in between. */
export async function digestOfChunks(chunks: readonly Uint8Array[]): Promise<string> {
  const hash = createHash("sha256");
  let since = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    since += chunk.length;
    if (since < HASH_SLICE) continue;
    since = 0;
    await yieldToOthers();
  }
  return hash.digest("hex");
}
