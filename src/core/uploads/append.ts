import type { TypeList } from "../../access/type-list.ts";
import { formatExactSize } from "../../base/format-size.ts";
import { shuttingDown } from "../admissions.ts";
import type { UploadTrace } from "../diagnostics.ts";
import { FixityError } from "../errors.ts";
import { ContentHead } from "../hooks.ts";
import { type Hashes, Intake, sizeLimitExceeded } from "../intake.ts";
import { InterruptibleSource } from "../interruptible-source.ts";
import type { UploadId } from "../upload-id.ts";
import { agreedDigest, assertInTime, assertType, NO_TERMS, type UploadTerms } from "../upload-terms.ts";
import type { HeldUpload } from "../upload-store.ts";
import {
  appendLimitExceeded,
  assertAnnounced,
  excessOf,
  inconsistentLength,
  limitedBy,
  offsetMismatch,
  withExpectations,
} from "./announcements.ts";
import type { UploadHashes } from "./upload-hashes.ts";
import type { AppendLimits, AppendOptions, Expectation } from "./upload-options.ts";
import { failedRecord, formatRecord, type HeldRecord, parseRecord, type UploadRecord } from "./upload-record.ts";

/**
 * The time after which arrived bytes are saved at the latest: what a killed process loses of a slow
 * sender.
 */
const SAVE_INTERVAL_MS = 5_000;

/** What an append shares with its engine. */
interface AppendEngine {
  readonly limits: AppendLimits;
  /** The types of files that the service accepts; `null` for all. */
  readonly types: TypeList | null;
  /** Whether the beginning of the file will be inspected. */
  readonly keepsHead: boolean;
  readonly hashes: UploadHashes;
  /** Aborted, with a `shutting-down`, when the service is closing. */
  readonly closing: AbortSignal;
}

/** The result of an append. */
export interface Appended {
  readonly record: UploadRecord;
  readonly offset: number;
  /**
   * The hashes of bytes that are to be committed without having been saved; `null` if bytes and
   * record are saved.
   */
  readonly unsaved: Hashes | null;
}

/**
 * One append to an upload that is held and has not ended: {@link run} checks what the request
 * announces, receives its bytes and saves them.
 *
 * Bytes are saved on the way, so that little is lost with the process: at the offsets where the
 * store says that a save is cheapest, and every few seconds. Saves and renewals run beside the
 * writes, one at a time. The first one that fails makes the next write fail.
 */
export class Append {
  readonly #id: UploadId;
  readonly #held: HeldUpload;
  readonly #options: AppendOptions;
  readonly #terms: UploadTerms;
  readonly #limits: AppendLimits;
  readonly #uploadHashes: UploadHashes;
  readonly #closing: AbortSignal;
  readonly #types: TypeList | null;
  /** `null` unless the record has to keep it. */
  readonly #head: ContentHead | null;
  /** As it will be saved next. */
  #record: UploadRecord;
  /** More bytes arrived than the whole upload may have. */
  #hasOverrun = false;
  /** The end of the request has refused its content, so what has not been saved does not count. */
  #isRefused = false;
  /** The offset of the last save that has begun. */
  #savedUntil: number;
  /** A write is pending. The store may not have accepted its bytes yet, so no save may begin. */
  #isWriting = false;
  #isSaveDue = false;
  /** The save or renewal beside the writes; never rejects. */
  #background: Promise<void> | null = null;
  #backgroundFailure: { readonly reason: unknown } | null = null;

  constructor({ id, held, record }: HeldRecord, options: AppendOptions, engine: AppendEngine) {
    this.#id = id;
    this.#held = held;
    this.#record = record;
    this.#options = options;
    this.#terms = options.terms ?? NO_TERMS;
    this.#limits = limitedBy(engine.limits, this.#terms);
    this.#uploadHashes = engine.hashes;
    this.#closing = engine.closing;
    this.#types = engine.types;
    this.#head = engine.keepsHead ? headToContinue(held, record) : null;
    this.#savedUntil = held.offset;
  }

  /** The upload has failed for good. */
  get hasFailed(): boolean {
    return this.#record.outcome !== null;
  }

  /**
   * Receives the bytes. When it returns, either they are durable, or they were the last ones and
   * are ready to be committed; the record says which.
   *
   * @throws FixityError, once what can be kept of the bytes is durable; a `shutting-down` has the
   *   offset among its facts
   */
  async run(trace: UploadTrace): Promise<Appended> {
    const { offset } = this.#options;
    if (offset !== this.#held.offset) throw offsetMismatch(this.#held.offset, offset);
    assertType(this.#record.extension, this.#types, this.#terms.types);
    const digest = agreedDigest(this.#terms, this.#options.digest);
    if (this.#options.excessEnds === true) {
      const excess = excessOf({ ...this.#options, length: this.#record.length }, this.#limits);
      if (excess !== null) {
        await this.#end(excess);
        throw excess;
      }
    }
    this.#record = withExpectations(this.#record, { ...this.#options, digest });
    this.#assertLength();
    assertAnnounced({ ...this.#options, length: this.#record.length }, this.#limits);

    const hashes = await this.#hashesSoFar();
    const hashedMs = hashes.elapsedMs;
    const receivingSince = performance.now();
    try {
      await this.#receive(hashes);
      trace.receiveMs = performance.now() - receivingSince;
      trace.hashMs = hashes.elapsedMs - hashedMs;
      this.#record = withExpectations(this.#record, this.#checkEnd());
      this.#assertHashed(hashes);
      this.#sealIfComplete(hashes.size);
    } catch (error) {
      throw await this.#salvage(hashes, error);
    }

    const isLast = this.#record.sealed;
    if (isLast && this.#held.commitUnsaved !== undefined) {
      await this.#background;
      this.#assertBackground();
      return { record: this.#updateRecord(hashes), offset: hashes.size, unsaved: hashes };
    }
    await this.#save(hashes, !isLast);
    return { record: this.#record, offset: hashes.size, unsaved: null };
  }

  #assertLength(): void {
    const { length } = this.#record;
    const { offset } = this.#held;
    if (length === null) return;
    if (length < offset) {
      throw inconsistentLength(
        `The upload already has ${formatExactSize(offset)}, more than a length of ${formatExactSize(length)}.`,
      );
    }
    if (length > this.#limits.maxSize) throw sizeLimitExceeded(this.#limits.maxSize);
  }

  async #hashesSoFar(): Promise<Hashes> {
    try {
      return await this.#uploadHashes.of({ id: this.#id, held: this.#held, record: this.#record }, this.#closing);
    } catch (error) {
      throw error === this.#closing.reason ? shuttingDown(this.#held.offset) : error;
    }
  }

  /**
   * Receives the whole source. Fails if the source does, if another request takes the upload over,
   * or if the service is closing; what has arrived until then can still be saved.
   *
   * Meanwhile the upload cannot expire: arrived bytes are saved every few seconds, and where there
   * is nothing to save (the bytes count all together, or the sender pauses) the record alone is
   * renewed in time.
   */
  async #receive(hashes: Hashes): Promise<void> {
    const { expiry } = this.#limits;
    const interval = Math.min(SAVE_INTERVAL_MS, Math.max(expiry / 4, 1));
    const timer = setInterval(() => {
      this.#saveProgress(hashes);
      this.#renewInTime();
    }, interval);
    const intake = this.#intakeOver(hashes);
    const interruptions = { takeover: this.#held.takeover, closing: this.#closing };
    try {
      for await (const bytes of new InterruptibleSource(this.#options.source, interruptions)) {
        this.#assertBackground();
        const accepted = this.#write(intake, bytes);
        if (accepted === undefined) continue;
        this.#isWriting = true;
        try {
          await accepted;
        } finally {
          this.#isWriting = false;
        }
        if (this.#isSaveDue) this.#saveBeside(hashes);
      }
    } finally {
      clearInterval(timer);
    }
  }

  #intakeOver(hashes: Hashes): Intake {
    const { length } = this.#record;
    const { maxSize, maxAppendSize } = this.#limits;
    const overrun = (): FixityError => {
      this.#hasOverrun = true;
      if (length === null) return sizeLimitExceeded(maxSize);
      return inconsistentLength("More bytes arrived than the length of the upload.", { limit: length });
    };
    return new Intake(hashes, [
      { end: hashes.size + maxAppendSize, exceeded: () => appendLimitExceeded(maxAppendSize) },
      { end: length ?? maxSize, exceeded: overrun },
    ]);
  }

  #write(intake: Intake, bytes: Uint8Array): Promise<void> | void {
    if (!this.#isWhole && intake.hashes.size + bytes.length >= this.#held.nextSave) {
      intake.check(bytes.length);
      return this.#writePieces(intake.hashes, bytes);
    }
    intake.update(bytes);
    this.#head?.add(bytes);
    return this.#held.write(bytes);
  }

  /**
   * Writes up to each offset at which a save is cheapest, and begins one there unless one is
   * running.
   */
  async #writePieces(hashes: Hashes, bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const room = Math.max(this.#held.nextSave - hashes.size, 1);
      const piece = rest.subarray(0, room);
      rest = rest.subarray(piece.length);
      hashes.update(piece);
      this.#head?.add(piece);
      await this.#held.write(piece);
      if (piece.length === room) this.#saveBeside(hashes);
    }
  }

  get #isWhole(): boolean {
    return this.#options.whole === true;
  }

  #saveProgress(hashes: Hashes): void {
    if (this.#isWhole || hashes.size === this.#savedUntil) return;
    if (this.#isWriting) this.#isSaveDue = true;
    else this.#saveBeside(hashes);
  }

  /** Postpones the expiry without saving bytes: the record stays that of the last save. */
  #renewInTime(): void {
    const { expiry } = this.#limits;
    const saved = parseRecord(this.#held.record);
    const now = Date.now();
    if (saved.expires - now > expiry / 2) return;
    this.#beside(() => this.#held.renew(formatRecord({ ...saved, expires: now + expiry })));
  }

  #saveBeside(hashes: Hashes): void {
    this.#beside(() => this.#saveNow(hashes));
  }

  /** Runs one save or renewal beside the writes, unless one is running already. */
  #beside(work: () => Promise<void>): void {
    if (this.#background !== null || this.#backgroundFailure !== null) return;
    this.#background = work()
      .catch((reason: unknown) => {
        this.#backgroundFailure ??= { reason };
      })
      .finally(() => {
        this.#background = null;
      });
  }

  #assertBackground(): void {
    if (this.#backgroundFailure !== null) throw this.#backgroundFailure.reason;
  }

  /**
   * Makes everything durable that has arrived, and keeps its hashes.
   *
   * @param isLast the upload is not used any more
   */
  async #save(hashes: Hashes, isLast: boolean): Promise<void> {
    await this.#background;
    this.#assertBackground();
    await this.#saveNow(hashes, isLast);
    this.#uploadHashes.keep(this.#id, hashes);
  }

  async #saveNow(hashes: Hashes, isLast = false): Promise<void> {
    const offset = hashes.size;
    this.#isSaveDue = false;
    this.#savedUntil = offset;
    await this.#held.save(formatRecord(this.#updateRecord(hashes)), isLast);
    this.#options.onProgress?.(offset);
  }

  /** Brings the record up to the bytes that have arrived so far. */
  #updateRecord(hashes: Hashes): UploadRecord {
    const now = Date.now();
    const head = this.#head?.bytes.toString("base64") ?? this.#record.head;
    this.#record = { ...this.#record, saved: now, expires: now + this.#limits.expiry, hashes: hashes.states(), head };
    return this.#record;
  }

  #checkEnd(): Expectation {
    try {
      return this.#options.check?.() ?? {};
    } catch (error) {
      this.#isRefused = true;
      throw error;
    }
  }

  /**
   * A SHA-512 that is announced at the end comes too late if the bytes were not hashed and cannot
   * be read back.
   */
  #assertHashed(hashes: Hashes): void {
    if (this.#record.sha512 === null || hashes.has("sha512") || this.#held.read !== undefined) return;
    throw new FixityError(
      "unsupported-digest",
      "Announce a sha-512 that follows as a trailer field: Trailer: Repr-Digest.",
    );
  }

  #sealIfComplete(offset: number): void {
    const { completes } = this.#options;
    const { length } = this.#record;
    const isComplete = completes === "at-length" ? offset === length : completes;
    if (!isComplete) return;
    if (length !== null && offset !== length) {
      throw inconsistentLength(
        `The upload ends with ${formatExactSize(offset)}, but has a length of ${formatExactSize(length)}.`,
      );
    }
    assertInTime(this.#terms);
    this.#record = { ...this.#record, length: offset, sealed: true };
  }

  /**
   * After a failure: saves what has arrived, or ends an upload that has failed for good.
   *
   * @returns the error to report
   */
  async #salvage(hashes: Hashes, error: unknown): Promise<unknown> {
    const isClosing = error === this.#closing.reason;
    try {
      await this.#background;
      if (this.#hasOverrun && error instanceof FixityError) await this.#end(error);
      else if (!this.#isWhole && !this.#isRefused) await this.#save(hashes, true);
      return isClosing ? shuttingDown(this.#held.offset) : error;
    } catch (failure) {
      // Normally the first failure is the one to report: the durable offset has not changed. When
      // the service closes, nothing was wrong until the save failed, and its failure explains to
      // the client, or in the log, what became of the bytes.
      if (!isClosing) return error;
      const isSuperseded = failure instanceof FixityError && failure.code === "upload-superseded";
      return isSuperseded ? failure : shuttingDown(undefined, failure);
    }
  }

  /**
   * "marking the upload resource invalid and rejecting any further interaction with it" (draft,
   * "Upload Append").
   */
  async #end(error: FixityError): Promise<void> {
    const record = failedRecord(this.#record, error, this.#limits.expiry);
    await this.#held.conclude(formatRecord(record));
    this.#record = record;
  }
}

/**
 * The beginning of an upload whose bytes cannot be read back when they are inspected; `null` if
 * they can be, or if what an earlier append should have kept of them is missing.
 */
function headToContinue(held: HeldUpload, record: UploadRecord): ContentHead | null {
  if (held.read !== undefined && held.commitUnsaved === undefined) return null;
  const head = new ContentHead(Buffer.from(record.head ?? "", "base64"));
  return head.isOf(held.offset) ? head : null;
}
