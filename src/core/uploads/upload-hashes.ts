import { FixityError } from "../errors.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldUpload } from "../upload-store.ts";
import { Interruptible, type Interruptions } from "./interruptible.ts";
import { type Algorithm, nativeHash, savedHash, type UploadHash } from "./upload-hash.ts";
import type { UploadRecord } from "./upload-record.ts";

/** The hashes of one upload, which have all seen the same bytes. */
export class UploadHashes {
  readonly #hashes: ReadonlyMap<Algorithm, UploadHash>;
  /** Bytes that they have seen. */
  #offset: number;

  constructor(hashes: ReadonlyMap<Algorithm, UploadHash>, offset: number) {
    this.#hashes = hashes;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  has(algorithm: Algorithm): boolean {
    return this.#hashes.has(algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#offset += bytes.length;
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  /** `null` where this algorithm is not among them. */
  digest(algorithm: Algorithm): Buffer | null {
    return this.#hashes.get(algorithm)?.digest() ?? null;
  }

  /** For a record; `null` where they cannot be put down, and need not be. */
  states(): Record<string, string> | null {
    const states: Record<string, string> = {};
    for (const [algorithm, hash] of this.#hashes) {
      const state = hash.state();
      if (state === null) return null;
      states[algorithm] = state;
    }
    return states;
  }
}

/** Uploads whose hashes are kept in memory between requests. */
const KEPT = 1000;

/**
 * Gives an upload the hashes of the bytes it has: those that this process has kept from the request before, the saved ones
 * of the record, or new ones over the bytes as the store gives them back.
 */
export class HashKeeper {
  readonly #kept = new Map<string, UploadHashes>();

  /** @param stopped aborted when the service is being closed */
  async take(id: UploadId, held: HeldUpload, record: UploadRecord, stopped?: AbortSignal): Promise<UploadHashes> {
    const kept = this.#kept.get(id.hex);
    this.#kept.delete(id.hex);
    const algorithms: Algorithm[] = record.sha512 === null ? ["sha256"] : ["sha256", "sha512"];
    const isWhole = (hashes: UploadHashes): boolean => algorithms.every((algorithm) => hashes.has(algorithm));
    if (kept !== undefined && kept.offset === held.offset && isWhole(kept)) return kept;
    // bytes that were saved once stay what they are, so that hashes of the first of them hold for good
    const isUsable = kept !== undefined && kept.offset < held.offset && isWhole(kept);
    const begun = isUsable ? kept : new UploadHashes(new Map(algorithms.map((name) => [name, nativeHash(name)])), 0);
    const bytes = held.read(begun.offset);
    if (bytes === null) return saved(algorithms, record, held.offset);
    const interruptions: Interruptions = { wanted: held.wanted, stopped };
    if (held.offset > 0) await this.#readOn(id, begun, new Interruptible(bytes, interruptions));
    return begun;
  }

  /** Who wants the upload need not wait until all of it has been read, and goes on from there. */
  async #readOn(id: UploadId, hashes: UploadHashes, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of bytes) hashes.update(chunk);
    } catch (error) {
      this.keep(id, hashes);
      throw error;
    }
  }

  /** For the next request; the oldest makes room. Those that a record holds need no memory besides. */
  keep(id: UploadId, hashes: UploadHashes): void {
    if (hashes.states() !== null) return;
    this.#kept.set(id.hex, hashes);
    if (this.#kept.size <= KEPT) return;
    for (const oldest of this.#kept.keys()) return void this.#kept.delete(oldest);
  }

  forget(id: UploadId): void {
    this.#kept.delete(id.hex);
  }
}

async function saved(algorithms: readonly Algorithm[], record: UploadRecord, offset: number): Promise<UploadHashes> {
  const hashes = new Map<Algorithm, UploadHash>();
  for (const algorithm of algorithms) {
    const state = record.hashes?.[algorithm] ?? null;
    if (state === null && offset > 0) {
      throw new FixityError("unsupported-digest", `A ${algorithm} has to be announced when an upload is created.`);
    }
    hashes.set(algorithm, await savedHash(algorithm, state));
  }
  return new UploadHashes(hashes, offset);
}
