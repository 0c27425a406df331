import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { digestMismatch, type Hashes } from "../intake.ts";
import type { UploadId } from "../upload-id.ts";
import type { Committed } from "../staged-blob.ts";
import type { HeldUpload } from "../upload-store.ts";
import type { Appended } from "./append.ts";
import type { HashKeeper } from "./upload-hashes.ts";
import { digestIn, formatRecord, isFinalFailure, type Outcome, type UploadRecord } from "./upload-record.ts";

/** Makes blobs of uploads whose bytes are all there. */
export class Finisher {
  readonly #keeper: HashKeeper;
  readonly #expiry: number;
  /** What is being finished here, by id. A blob of terabytes takes its time, and who asks meanwhile waits with it. */
  readonly #running = new Map<string, Promise<UploadRecord | null>>();

  /** @param expiry milliseconds that a finished upload is kept */
  constructor(keeper: HashKeeper, expiry: number) {
    this.#keeper = keeper;
    this.#expiry = expiry;
  }

  /** How an upload ends that is being finished here; `null` where none is, or where it could not be finished. */
  async outcomeOf(id: UploadId): Promise<UploadRecord | null> {
    return this.#running.get(id.hex) ?? null;
  }

  /**
   * Makes the blob, or lets the upload fail for good where its bytes are not those that were announced.
   *
   * @throws FixityError `store-…`; then it can be tried again
   */
  async finish(
    id: UploadId,
    held: HeldUpload,
    { record, unsaved }: Pick<Appended, "record" | "unsaved">,
  ): Promise<UploadRecord> {
    const work = this.#finish(id, held, { record, unsaved });
    const running = work.catch(() => null);
    this.#running.set(id.hex, running);
    try {
      return await work;
    } finally {
      // who was shut out leaves alone what the next one has begun
      if (this.#running.get(id.hex) === running) this.#running.delete(id.hex);
      this.#keeper.forget(id);
    }
  }

  async #finish(
    id: UploadId,
    held: HeldUpload,
    { record, unsaved }: Pick<Appended, "record" | "unsaved">,
  ): Promise<UploadRecord> {
    const outcome = await this.#outcomeOf(id, held, { record, unsaved });
    const now = Date.now();
    const ended = { ...record, saved: now, expires: now + this.#expiry, hashes: null, outcome };
    await held.conclude(formatRecord(ended));
    return ended;
  }

  async #outcomeOf(id: UploadId, held: HeldUpload, appended: Pick<Appended, "record" | "unsaved">): Promise<Outcome> {
    try {
      return await this.#commit(id, held, appended);
    } catch (error) {
      if (isFinalFailure(error)) return failed(error);
      throw error;
    }
  }

  async #commit(
    id: UploadId,
    held: HeldUpload,
    { record, unsaved }: Pick<Appended, "record" | "unsaved">,
  ): Promise<Outcome> {
    const hashes = unsaved ?? (await this.#keeper.take(id, held, record));
    const commit = (digest: Digest): Promise<Committed> | undefined =>
      unsaved === null ? held.commit(digest) : held.commitUnsaved?.(digest, formatRecord(record));
    return refusal(record, hashes) ?? (await outcomeOf(hashes, commit));
  }
}

async function outcomeOf(hashes: Hashes, commit: (digest: Digest) => Promise<Committed> | undefined): Promise<Outcome> {
  const digest = hashes.sha256();
  const committed = await commit(digest);
  return { stored: digest.hex, size: hashes.size, existed: committed?.existed ?? false };
}

/** Why the bytes are not what was announced, or `null`. */
function refusal({ sha256, sha512 }: UploadRecord, hashes: Hashes): Outcome | null {
  const found = hashes.sha256();
  const told = sha256 === null ? found : digestIn(sha256);
  if (!told.equals(found)) return failed(digestMismatch(told, found));
  if (sha512 === null || hashes.digest("sha512")?.toString("base64") === sha512) return null;
  return failed(
    new FixityError("digest-mismatch", "The bytes that came in are not those that the sha-512 digest names."),
  );
}

function failed({ code, message, facts }: FixityError): Outcome {
  return { failed: code, message, facts };
}
