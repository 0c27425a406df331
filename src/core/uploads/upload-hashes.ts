import { FixityError } from "../errors.ts";
import { Hashes, type ResumableAlgorithm } from "../intake.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldUpload } from "../upload-store.ts";
import { Interruptible, type Interruptions } from "../interruptible-source.ts";
import type { UploadRecord } from "./upload-record.ts";

/** Uploads whose hashes are kept in memory between requests. */
const MAX_KEPT_HASHES = 1000;

/**
 * Finds the hashes of the bytes that an upload already has: those that this process kept after the previous request, those
 * whose states are in the record, or new ones over the bytes as the store returns them.
 */
export class HashKeeper {
  readonly #kept = new Map<string, Hashes>();

  /** @param stopped aborted when the service is being closed */
  async take(id: UploadId, held: HeldUpload, record: UploadRecord, stopped?: AbortSignal): Promise<Hashes> {
    const kept = this.#kept.get(id.hex);
    this.#kept.delete(id.hex);
    const algorithms: ResumableAlgorithm[] = record.sha512 === null ? ["sha256"] : ["sha256", "sha512"];
    const isUsable = kept !== undefined && kept.size <= held.offset && algorithms.every((name) => kept.has(name));
    if (isUsable && kept.size === held.offset) return kept;
    // saved bytes never change, so hashes of a prefix remain valid
    const hashes = isUsable ? kept : Hashes.native(algorithms);
    if (held.read === undefined) return await resumed(algorithms, record, held.offset);
    const interruptions: Interruptions = { wanted: held.takeover, stopped };
    if (held.offset > 0) await this.#readOn(id, hashes, new Interruptible(held.read(hashes.size), interruptions));
    return hashes;
  }

  /** A takeover need not wait until all of it is read: the next request continues from there. */
  async #readOn(id: UploadId, hashes: Hashes, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of bytes) hashes.update(chunk);
    } catch (error) {
      this.keep(id, hashes);
      throw error;
    }
  }

  /** Keeps hashes for the next request; the oldest make room. Those whose states are in the record need no memory. */
  keep(id: UploadId, hashes: Hashes): void {
    if (hashes.states() !== null) return;
    this.#kept.set(id.hex, hashes);
    if (this.#kept.size <= MAX_KEPT_HASHES) return;
    for (const oldest of this.#kept.keys()) return void this.#kept.delete(oldest);
  }

  forget(id: UploadId): void {
    this.#kept.delete(id.hex);
  }
}

async function resumed(
  algorithms: readonly ResumableAlgorithm[],
  record: UploadRecord,
  offset: number,
): Promise<Hashes> {
  const states = record.hashes ?? {};
  const missing = algorithms.find((name) => !Object.hasOwn(states, name));
  if (offset > 0 && missing !== undefined) {
    throw new FixityError("unsupported-digest", `A ${missing} has to be announced when an upload is created.`);
  }
  return await Hashes.resumable(algorithms, states, offset);
}
