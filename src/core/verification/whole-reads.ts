import type { BlobIdentity } from "../blob-stat.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { digestOf } from "../intake.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../store.ts";
import type { Damage } from "./damage.ts";

/** The result of reading a stored blob again. */
export type Verification =
  | { readonly intact: true; readonly size: number }
  /** `found` is `null` if the bytes could not be read to their end. */
  | { readonly intact: false; readonly size: number; readonly found: Digest | null };

/** Options of `Fixity.verify`. */
export interface VerifyOptions {
  /** Whether damage is marked, so that no instance serves the blob. @default true */
  readonly marks?: boolean;
  /**
   * Called with the size of each piece that was read, and the signal of the read. The next piece is
   * read once it has returned, so that the rate of several verifications can be bounded.
   */
  readonly onRead?: ((bytes: number, signal?: AbortSignal) => Promise<void> | void) | undefined;
}

/** The result of reading a blob as a whole. */
export type Reading =
  | { readonly isIntact: true; readonly identity: BlobIdentity | undefined; readonly size: number }
  | { readonly isIntact: false; readonly damage: Damage };

/**
 * Called with the size of each piece that was read, and the signal of the read. The next piece is
 * read once it has returned, so that a caller can bound the rate.
 */
export type OnRead = (bytes: number, signal?: AbortSignal) => Promise<void> | void;

/** How a blob is read as a whole. */
export interface WholeReadOptions extends Omit<OpenOptions, "range"> {
  readonly onRead?: OnRead | undefined;
}

/** Reads a blob to its end and compares its digest; `null` if there is none. */
export async function readWhole(
  store: BlobStore,
  digest: Digest,
  { onRead, ...options }: WholeReadOptions,
): Promise<Reading | null> {
  await using reader = await store.open(digest, options);
  if (reader === null) return null;
  const { identity } = reader;
  try {
    const received = await digestOf(onRead === undefined ? reader : reported(reader, onRead, options.signal));
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

async function* reported(
  source: AsyncIterable<Uint8Array>,
  onRead: OnRead,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    yield chunk;
    await onRead(chunk.length, signal);
  }
}

/** Whether a store has found itself that the stored bytes are not what they were. */
export function isDamage(error: unknown): boolean {
  return error instanceof FixityError && error.code === "blob-damaged";
}
