import { createHash } from "node:crypto";
import { setImmediate as yieldToOthers } from "node:timers/promises";

/** Bytes hashed in one go: a few hundred microseconds, for which everything else stands still. */
const HASH_SLICE = 1024 * 1024;

/** SHA-256 in hex of what may be many megabytes; others get their turn in between. */
export async function digestOfChunks(chunks: readonly Uint8Array[]): Promise<string> {
  return (await hashOf("sha256", chunks)).toString("hex");
}

/** MD5 as it stands in a `Content-MD5` field (RFC 1864), computed like {@link digestOfChunks}. */
export async function md5OfChunks(chunks: readonly Uint8Array[]): Promise<string> {
  return (await hashOf("md5", chunks)).toString("base64");
}

async function hashOf(algorithm: "sha256" | "md5", chunks: readonly Uint8Array[]): Promise<Buffer> {
  const hash = createHash(algorithm);
  let since = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    since += chunk.length;
    if (since < HASH_SLICE) continue;
    since = 0;
    await yieldToOthers();
  }
  return hash.digest();
}
