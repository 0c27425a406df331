import { delay } from "../../base/abort-race.ts";
import type { BlobIdentity } from "../blob-stat.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { digestOf } from "../intake.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../store.ts";
import type { Damage } from "./damage-marks.ts";

/** The result of reading a blob as a whole. */
export type Reading =
  | { readonly isIntact: true; readonly identity: BlobIdentity | undefined; readonly size: number }
  | { readonly isIntact: false; readonly damage: Damage };

/**
 * Reads a blob to its end and compares its digest; `null` if there is none.
 *
 * @param options `bytesPerSecond` bounds the rate on average
 */
export async function readWhole(
  store: BlobStore,
  digest: Digest,
  { bytesPerSecond = Infinity, ...options }: OpenOptions & { readonly bytesPerSecond?: number | undefined },
): Promise<Reading | null> {
  await using reader = await store.open(digest, options);
  if (reader === null) return null;
  const { identity } = reader;
  try {
    const received = await digestOf(paced(reader, bytesPerSecond, options.signal));
    if (received.digest.equals(digest)) return { isIntact: true, identity, size: received.size };
    return { isIntact: false, damage: { identity: identity ?? null, found: received.digest, size: received.size } };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { isIntact: false, damage: { identity: identity ?? null, found: null, size: reader.size } };
  }
}

/** All bytes of a reader; `null` if the store finds them damaged. */
export async function readAll(reader: BlobReader): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of reader) chunks.push(chunk);
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}

/** A source that yields at most so many bytes per second on average. */
async function* paced(
  source: AsyncIterable<Uint8Array>,
  bytesPerSecond: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const startedAt = performance.now();
  let size = 0;
  for await (const chunk of source) {
    yield chunk;
    size += chunk.length;
    const earlyMs = (size / bytesPerSecond) * 1000 - (performance.now() - startedAt);
    if (earlyMs > 1) await delay(earlyMs, signal);
  }
}

/** Whether a store has found itself that the stored bytes are not what they were. */
export function isDamage(error: unknown): boolean {
  return error instanceof FixityError && error.code === "blob-damaged";
}
