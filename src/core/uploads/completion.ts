import { ANONYMOUS } from "../../access/principal.ts";
import { formatExactSize } from "../../base/format-size.ts";
import type { BlobStat } from "../blob-stat.ts";
import type { Blocks } from "../blocks.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import type { Events, UploadOfEvent } from "../events/events.ts";
import { ContentHead, type FileToInspect, headOf, type Hooks } from "../hooks.ts";
import { digestMismatch, Hashes } from "../intake.ts";
import { InterruptibleSource } from "../interruptible-source.ts";
import type { Committed } from "../staged-blob.ts";
import type { UploadId } from "../upload-id.ts";
import { assertInTime, type UploadTerms } from "../upload-terms.ts";
import type { VerifiedReads } from "../verification/verified-reads.ts";
import { agreedLength, contradictoryDigest, offsetMismatch } from "./announcements.ts";
import type { UploadHashes } from "./upload-hashes.ts";
import type { AppendOptions, Expectation } from "./upload-options.ts";
import {
  digestIn,
  endedRecord,
  failedOutcome,
  formatRecord,
  type HeldRecord,
  isFinalFailure,
  type Outcome,
  pendingRecord,
  receiptIn,
  type StoredOutcome,
  type UploadRecord,
} from "./upload-record.ts";

/** What the completions of one engine share with it. */
interface CompletionsOptions {
  readonly hashes: UploadHashes;
  readonly reads: VerifiedReads;
  readonly blocks: Blocks;
  readonly hooks: Hooks;
  readonly events: Events | null;
  readonly linkBase: string;
  readonly expiryMs: number;
}

/** What completes an upload. */
export interface CompletionOptions {
  /** The hashes of bytes that are committed without having been saved; `null` if all are saved. */
  readonly unsaved: Hashes | null;
  /** What the embedder knows about the request; `null` without one. */
  readonly context: unknown;
}

/** How an upload ends, and the extension of its link. */
interface Completed {
  readonly outcome: Outcome;
  readonly extension: string | null;
}

interface Running {
  /** As it was when the completion began. */
  readonly record: UploadRecord;
  /** As the upload ends; `null` if the completion fails. */
  readonly ended: Promise<UploadRecord | null>;
}

/**
 * Makes blobs of sealed uploads, those whose last byte has arrived:
 *
 *     sealed ── commit ── renew: stored, hook pending ── onStored ── conclude
 *
 * Without a hook, `conclude` follows the commit. An upload whose hook fails, or whose process dies
 * before the end, stays as it is for the next holder.
 */
export class Completions {
  readonly #hashes: UploadHashes;
  readonly #reads: VerifiedReads;
  readonly #blocks: Blocks;
  readonly #hooks: Hooks;
  readonly #events: Events | null;
  readonly #linkBase: string;
  readonly #expiryMs: number;
  /**
   * Running completions by upload id. One of terabytes takes its time; other requests for the
   * upload wait for it.
   */
  readonly #running = new Map<string, Running>();

  /** @param options `expiryMs` is how long the outcome of an upload is kept */
  constructor({ hashes, reads, blocks, hooks, events, linkBase, expiryMs }: CompletionsOptions) {
    this.#hashes = hashes;
    this.#reads = reads;
    this.#blocks = blocks;
    this.#hooks = hooks;
    this.#events = events;
    this.#linkBase = linkBase;
    this.#expiryMs = expiryMs;
  }

  /**
   * The record that a running completion of an upload ends with; `null` if none is running, or if
   * it failed.
   */
  async running(id: UploadId): Promise<UploadRecord | null> {
    return (await this.#running.get(id.hex)?.ended) ?? null;
  }

  /** The record of an upload whose completion is running; `null` if none is. */
  recordOf(id: UploadId): UploadRecord | null {
    return this.#running.get(id.hex)?.record ?? null;
  }

  /**
   * Makes the blob, unless that was done before, and runs the hook; then concludes the upload. If
   * its bytes do not have the announced digest, or are blocked, concludes it as failed.
   *
   * @throws FixityError `store-…`, or the failure of the hook; then it can be tried again
   */
  async complete(upload: HeldRecord, options: CompletionOptions): Promise<UploadRecord> {
    const { id } = upload;
    const work = this.#complete(upload, options);
    const running = { record: upload.record, ended: work.catch(() => null) };
    this.#running.set(id.hex, running);
    try {
      return await work;
    } finally {
      // a completion that was fenced off leaves alone the one that has replaced it
      if (this.#running.get(id.hex) === running) this.#running.delete(id.hex);
      this.#hashes.forget(id);
    }
  }

  async #complete(upload: HeldRecord, options: CompletionOptions): Promise<UploadRecord> {
    const { id, held } = upload;
    const { outcome, extension } = await this.#outcomeOf(upload, options);
    const record = { ...upload.record, extension };
    if (!("failed" in outcome) && this.#hooks.hasOnStored) {
      // from here on a crash does not commit again, and every holder calls the hook until it succeeds
      if (record.pending === null) await held.renew(formatRecord(pendingRecord(record, outcome, this.#expiryMs)));
      await this.#runHook(id, record, { outcome, context: options.context });
    }
    const ended = endedRecord(record, outcome, this.#expiryMs);
    await held.conclude(formatRecord(ended));
    return ended;
  }

  /**
   * Completes a new upload by content that is stored already.
   *
   * @returns its last record; `null` if the content has just been removed
   * @throws FixityError `content-refused`, `access-expired`, `blob-blocked`, or the failure of the hook
   */
  async claim(
    { id, record, terms }: { readonly id: UploadId; readonly record: UploadRecord; readonly terms: UploadTerms },
    existing: BlobStat,
  ): Promise<UploadRecord | null> {
    const head = this.#hooks.hasInspect ? await headOf(existing, this.#reads) : new Uint8Array();
    if (head === null) return null;
    const { context } = terms;
    const { size } = existing;
    const extension = await this.#inspect(record, { head, size, context });
    assertInTime(terms);
    await this.#blocks.assertNone(existing.digest);
    const outcome = { stored: existing.digest.hex, size, existed: true };
    const claimed = { ...record, extension, length: size, outcome };
    await this.#runHook(id, claimed, { outcome, context });
    await this.#events?.claimed(this.#ofEvent(id, claimed, outcome));
    return claimed;
  }

  #ofEvent(id: UploadId, record: UploadRecord, outcome: StoredOutcome): UploadOfEvent {
    const receipt = receiptIn(record, outcome, this.#linkBase);
    return { receipt, owner: record.owner ?? ANONYMOUS, key: id.hex };
  }

  /** Has a file inspected. @returns the extension that its link may have */
  async #inspect(
    { name, extension, owner }: UploadRecord,
    file: Pick<FileToInspect, "head" | "size" | "context">,
  ): Promise<string | null> {
    return await this.#hooks.inspect({ ...file, name, extension, principal: owner ?? ANONYMOUS });
  }

  /** Calls `onStored` for an upload that has become a blob. @throws FixityError its failure */
  async #runHook(
    id: UploadId,
    record: UploadRecord,
    { outcome, context }: { readonly outcome: StoredOutcome; readonly context: unknown },
  ): Promise<void> {
    const { owner, kept } = record;
    const receipt = receiptIn(record, outcome, this.#linkBase);
    await this.#hooks.stored(receipt, { principal: owner ?? ANONYMOUS, context, kept, key: id.hex });
  }

  async #outcomeOf(upload: HeldRecord, options: CompletionOptions): Promise<Completed> {
    const { pending, extension } = upload.record;
    try {
      if (pending === null) return await this.#commit(upload, options);
      await this.#blocks.assertNone(digestIn(pending.stored));
      return { outcome: pending, extension };
    } catch (error) {
      if (isFinalFailure(error)) return { outcome: failedOutcome(error), extension };
      throw error;
    }
  }

  async #commit(upload: HeldRecord, { unsaved, context }: CompletionOptions): Promise<Completed> {
    const { id, held, record } = upload;
    const hashes = unsaved ?? (await this.#hashes.of(upload));
    const mismatch = mismatchOf(record, hashes);
    if (mismatch !== null) return { outcome: failedOutcome(mismatch), extension: record.extension };
    const digest = hashes.sha256();
    const { size } = hashes;
    let { extension } = record;
    if (this.#hooks.hasInspect) {
      const head = await savedHead(upload, { size, isSaved: unsaved === null });
      extension = await this.#inspect(record, { head, size, context });
    }
    await this.#blocks.assertNone(digest);
    const options = { judge: (stored: BlobStat) => this.#reads.judge(digest, stored) };
    const commit = async (): Promise<Committed> => {
      const committed = await (unsaved === null
        ? held.commit(digest, options)
        : held.commitUnsaved?.(digest, formatRecord(record), options));
      await this.#reads.noteCommitted(digest);
      // It may have been blocked meanwhile. It stays stored, and cannot be read.
      await this.#blocks.assertNone(digest);
      return committed ?? { existed: false };
    };
    const future = { stored: digest.hex, size, existed: false };
    const ofEvent = this.#ofEvent(id, { ...record, extension }, future);
    const { existed } = await (this.#events?.storing(ofEvent, commit) ?? commit());
    return { outcome: { ...future, existed }, extension };
  }
}

/**
 * The beginning of an upload's bytes.
 *
 * @throws FixityError `content-refused` if it was not kept: the upload was begun while no files were
 *   inspected
 */
async function savedHead(
  { held, record }: HeldRecord,
  { size, isSaved }: { readonly size: number; readonly isSaved: boolean },
): Promise<Uint8Array> {
  const head = new ContentHead(Buffer.from(record.head ?? "", "base64"));
  if (isSaved && held.read !== undefined && !head.isOf(size)) {
    const saved = new ContentHead();
    for await (const bytes of held.read()) {
      saved.add(bytes);
      if (saved.isFull) break;
    }
    return saved.bytes;
  }
  if (head.isOf(size)) return head.bytes;
  throw new FixityError(
    "content-refused",
    "The beginning of the file was not kept. Send the file again from the start.",
  );
}

/** The error for bytes that do not have their announced digests, or `null`. */
function mismatchOf({ sha256, sha512 }: UploadRecord, hashes: Hashes): FixityError | null {
  const found = hashes.sha256();
  const announced = sha256 === null ? found : digestIn(sha256);
  if (!announced.equals(found)) return digestMismatch(announced, found);
  if (sha512 === null || hashes.digest("sha512")?.toString("base64") === sha512) return null;
  return new FixityError("digest-mismatch", "The bytes that arrived do not have the announced sha-512 digest.");
}

/**
 * Checks an append to an upload that is already stored, from a client that has lost the response
 * to its last append, or whose hook has failed. Only an append of no bytes at the end may get that response again: whether
 * other bytes are those of the upload is unknown, and success would acknowledge bytes that are not
 * stored. Everything that the append states about the whole file must hold.
 *
 * @throws FixityError `offset-mismatch` with the size as the expected offset,
 *   `inconsistent-length`, `digest-mismatch`, or what the source, the check of the request or the
 *   store throws
 */
export async function assertReplay(
  { stored, size }: StoredOutcome,
  options: AppendOptions,
  { blobs, closing }: { readonly blobs: Pick<VerifiedReads, "open">; readonly closing: AbortSignal },
): Promise<void> {
  const { offset, announced = 0, lengths = [] } = options;
  if (offset !== size) throw offsetMismatch(size, offset);
  if (announced > 0) throw alreadyComplete(size);
  for await (const bytes of new InterruptibleSource(options.source, { closing })) {
    if (bytes.length > 0) throw alreadyComplete(size);
  }
  lengths.reduce<number | null>(agreedLength, size);
  for (const expected of [options, options.check?.() ?? {}]) await assertDigests(expected, digestIn(stored), blobs);
}

async function assertDigests(
  { digest, sha512 }: Expectation,
  stored: Digest,
  blobs: Pick<VerifiedReads, "open">,
): Promise<void> {
  if (digest?.equals(stored) === false) throw contradictoryDigest();
  if (sha512 === undefined) return;
  await using reader = await blobs.open(stored);
  if (reader === null) throw new FixityError("blob-not-found", "The file of this upload has been removed.");
  const hashes = Hashes.native(["sha512"]);
  for await (const bytes of reader) hashes.update(bytes);
  if (hashes.digest("sha512")?.equals(sha512) !== true) throw contradictoryDigest();
}

function alreadyComplete(size: number): FixityError {
  return new FixityError(
    "offset-mismatch",
    `The upload is complete with ${formatExactSize(size)}, and accepts no more.`,
    { facts: { "expected-offset": size, "provided-offset": size } },
  );
}
