import { FixityError } from "../errors.ts";
import { Hashes, type ResumableAlgorithm } from "../intake.ts";
import { InterruptibleSource } from "../interruptible-source.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldRecord } from "./upload-record.ts";

/** Uploads whose hashes are kept in memory between requests. */
const MAX_KEPT_HASHES = 1000;

/**
 * The hashes of the bytes that uploads already have: those that this process kept after the
 * previous request; or new ones over the bytes, for a store that can read them back; or those whose
 * states are in the record.
 */
export class UploadHashes {
  readonly #kept = new Map<string, Hashes>();

  /**
   * The hashes of all saved bytes of an upload.
   *
   * @param closing aborted when the service is closing
   * @throws the reason of a takeover or of closing, while bytes are read back; FixityError
   *   `unsupported-digest` for a SHA-512 that was announced too late
   */
  async of({ id, held, record }: HeldRecord, closing?: AbortSignal): Promise<Hashes> {
    const kept = this.#kept.get(id.hex);
    this.#kept.delete(id.hex);
    const algorithms: ResumableAlgorithm[] = record.sha512 === null ? ["sha256"] : ["sha256", "sha512"];
    const isUsable = kept !== undefined && kept.size <= held.offset && algorithms.every((name) => kept.has(name));
    if (isUsable && kept.size === held.offset) return kept;
    if (held.read === undefined) return await resumedHashes(algorithms, record.hashes ?? {}, held.offset);
    // saved bytes never change, so the hashes of a prefix remain valid
    const hashes = isUsable ? kept : Hashes.native(algorithms);
    if (held.offset === 0) return hashes;
    try {
      const rest = new InterruptibleSource(held.read(hashes.size), { takeover: held.takeover, closing });
      for await (const bytes of rest) hashes.update(bytes);
      return hashes;
    } catch (error) {
      // an interrupted read is continued by the next request
      this.keep(id, hashes);
      throw error;
    }
  }

  /**
   * Keeps hashes for the next request; the oldest make room. Those that can be saved are in the
   * record, and need no memory.
   */
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

async function resumedHashes(
  algorithms: readonly ResumableAlgorithm[],
  states: Readonly<Record<string, string>>,
  offset: number,
): Promise<Hashes> {
  const missing = algorithms.find((name) => !Object.hasOwn(states, name));
  if (offset > 0 && missing !== undefined) {
    throw new FixityError("unsupported-digest", `Announce a ${missing} when the upload is created.`);
  }
  return await Hashes.resumable(algorithms, states, offset);
}
