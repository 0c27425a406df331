import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import { OCTET_STREAM } from "../../../core/media-type.ts";
import type { CommitOptions, Committed } from "../../../core/staged-blob.ts";
import type { HeldUpload } from "../../../core/upload-store.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import { superseded } from "../../takeover.ts";
import { failedWith } from "../api/s3-error.ts";
import { ABSENCE_TRUSTED_MS, type Publisher } from "../publish/publisher.ts";
import type { MultipartUpload, SentParts } from "../send/multipart-upload.ts";
import { toFixityError } from "../store-error.ts";
import type { Fence } from "./fence.ts";
import { endedState } from "./records.ts";
import type { UploadWriter } from "./upload-writer.ts";

/** What the last save changes in addition: the upload no longer has a holder. */
const RELEASED = { holder: null, isWanted: false } as const;

/**
 * Milliseconds that a failed call may spend on learning whether the upload is still this holder's.
 */
const LOOK_TIMEOUT_MS = 3_000;

interface HeldCommitOptions {
  readonly judge: CommitOptions["judge"];
  /** Of an upload whose last bytes are not saved yet. */
  readonly unsavedRecord: string | null;
}

/**
 * A held upload in a bucket: its bytes go through a writer, its record through a fence.
 * S3 does not return the parts of an upload that is not completed, so there is no `read`.
 */
export class S3HeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #fence: Fence;
  readonly #writer: UploadWriter;
  readonly #publisher: Publisher;
  /**
   * Ends the protection from the collectors of this process: a tail exists before the record names
   * it.
   */
  readonly #unprotect: () => void;
  /** Calls, and removals that only the release waits for; none of them rejects. */
  readonly #running = new Set<Promise<unknown>>();
  #failure: { readonly reason: unknown } | null = null;
  /** Saved bytes are lost: the upload can only be concluded or removed. */
  #damage: FixityError | null = null;
  /** The blob that this holder has made of the upload. */
  #committed: Digest | null = null;
  /** The record names the multipart upload, or may do so. */
  #isNamed: boolean;
  #isReleasing = false;

  constructor(
    fence: Fence,
    writer: UploadWriter,
    { publisher, unprotect }: { readonly publisher: Publisher; readonly unprotect: () => void },
  ) {
    this.#fence = fence;
    this.#writer = writer;
    this.#publisher = publisher;
    this.#unprotect = unprotect;
    this.#isNamed = fence.state.upload !== null;
    writer.onTooSlow = () => this.#endSlowSender();
  }

  get record(): string {
    return this.#fence.state.text;
  }

  get offset(): number {
    return this.#fence.state.offset;
  }

  get takeover(): AbortSignal {
    return this.#fence.lease.takeover;
  }

  get nextSave(): number {
    return this.#writer.nextSave(this.#fence.state.offset);
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#assertOpen();
    this.#fence.countReceived(bytes.length);
    if (this.takeover.aborted) return this.#call(() => this.#writeIfHeld(bytes));
    const writing = this.#writer.write(bytes);
    if (writing !== undefined) return this.#call(() => writing);
  }

  async save(record: string, isLast = false): Promise<void> {
    this.#assertUsable();
    return this.#call(async () => {
      const before = this.#fence.state;
      const released = isLast ? RELEASED : {};
      if (this.#writer.size === before.offset) {
        return this.#fence.replace((state) => ({ ...state, text: record, ...released }));
      }
      this.#assertOpen();
      const saved = await this.#whileS3Works(() => this.#writer.save());
      this.#isNamed ||= saved.upload !== null;
      await this.#fence.replace((state) => ({ ...state, ...saved, text: record, ...released }));
      if (before.tail !== null) this.#track(this.#writer.removeTail(before.tail));
    });
  }

  async renew(record: string): Promise<void> {
    this.#assertUsable();
    return this.#call(() => this.#fence.replace((state) => ({ ...state, text: record })));
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    this.#assertUsable();
    if (this.#committed?.equals(digest) === true) return { existed: true };
    return this.#call(async () => {
      const { offset, ended } = this.#fence.state;
      if (ended !== null || this.#writer.size !== offset) {
        throw new FixityError("internal-error", "The upload has ended, or has bytes that are not saved.");
      }
      return this.#commit(digest, { judge, unsavedRecord: null });
    });
  }

  async commitUnsaved(digest: Digest, record: string, options: CommitOptions = {}): Promise<Committed> {
    this.#assertUsable();
    if (this.#committed?.equals(digest) === true) return { existed: true };
    this.#assertOpen();
    // After a holder was fenced off there may be parts behind the last one, and the tail may have
    // to be sent again.
    if (this.#fence.state.isUntidy) {
      await this.save(record);
      return this.commit(digest, options);
    }
    return this.#call(() => this.#commit(digest, { judge: options.judge, unsavedRecord: record }));
  }

  async conclude(record: string): Promise<void> {
    this.#assertUsable();
    return this.#call(() => this.#end("concluded", record));
  }

  async remove(): Promise<void> {
    this.#assertUsable();
    return this.#call(async () => {
      // A concluded upload names nothing that would have to be removed first.
      if (this.#fence.state.ended === "concluded") this.#fence.lease.release();
      else await this.#end("removed", this.record);
      await this.#fence.removeRecord();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { lease } = this.#fence;
    if (this.#isReleasing) return void (await lease.released);
    this.#isReleasing = true;
    this.#writer.close(superseded());
    await Promise.all(this.#running);
    await this.#leaveOrAbort(this.#isNamed);
    await this.#fence.release({ isUntidy: this.#failure !== null });
    this.#unprotect();
    lease.release(this.#fence.isNamed);
  }

  /** Refuses bytes that could never be saved. */
  async #writeIfHeld(bytes: Uint8Array): Promise<void> {
    await this.#fence.confirm();
    await this.#writer.write(bytes);
  }

  async #commit(digest: Digest, options: HeldCommitOptions): Promise<Committed> {
    const { multipart } = this.#writer;
    const existed = await this.#whileS3Works(() =>
      multipart === null ? this.#putWhole(digest, options) : this.#publish(multipart, digest, options),
    );
    this.#committed = digest;
    // it may take the app some time to agree, and other uploads need the memory
    this.#writer.returnMemory();
    return { existed };
  }

  async #putWhole(digest: Digest, { judge }: HeldCommitOptions): Promise<boolean> {
    const contentType = this.#contentType;
    return this.#writer.lendAll((chunks, length) =>
      // Saved bytes are committed whether their sender is still there or not, so no signal ends it.
      this.#publisher.putWhole(
        digest,
        { chunks, length, digest: digest.hex },
        { contentType, judge, signal: undefined },
      ),
    );
  }

  async #publish(
    multipart: MultipartUpload,
    digest: Digest,
    { judge, unsavedRecord }: HeldCommitOptions,
  ): Promise<boolean> {
    const { completing, parts, tail, absentAt = 0 } = this.#fence.state;
    return this.#publisher.publish({
      multipart,
      digest,
      size: this.#writer.size,
      contentType: this.#contentType,
      judge,
      isKnownAbsent: Math.abs(Date.now() - absentAt) < ABSENCE_TRUSTED_MS,
      sendLast: async () => {
        if (completing !== null) return;
        const sent = await this.#writer.sendTail();
        if (unsavedRecord !== null && sent !== null) return this.#saveCompleting(sent, unsavedRecord);
        const last = sent?.parts[parts.length] ?? null;
        await this.#fence.replace((state) => ({ ...state, completing: { last } }));
      },
      resumable: {
        isRepeated: completing !== null,
        // Unsaved bytes are gone once sent. They need no padding: no holder was fenced off, so no
        // parts follow.
        resendLast: () => (unsavedRecord === null ? this.#writer.resendTail(parts.length + 1, tail) : multipart.sent()),
      },
    });
  }

  /** Saves all parts, and that their completion begins, in one step. */
  async #saveCompleting({ id, parts }: SentParts, record: string): Promise<void> {
    const { tail } = this.#fence.state;
    await this.#writer.multipart?.keep();
    this.#isNamed = true;
    const saved = { offset: this.#writer.size, upload: id, parts, tail: null, completing: { last: null } };
    await this.#fence.replace((state) => ({ ...state, ...saved, text: record }));
    if (tail !== null) this.#track(this.#writer.removeTail(tail));
  }

  /** Writes a record that names nothing, and then removes what the one before named. */
  async #end(ended: "concluded" | "removed", record: string): Promise<void> {
    const { tail, isUntidy, completing } = this.#fence.state;
    await this.#fence.replace((state) => endedState(state, ended, record));
    this.#writer.close(superseded());
    // A completion that was refused for good is not running. In every other state MultipartUpload
    // does not abort.
    await this.#leaveOrAbort(completing !== null && this.#damage === null);
    if (isUntidy) await this.#writer.removeAllTails();
    else if (tail !== null) await this.#writer.removeTail(tail);
    // The next holder need not wait for this one.
    this.#fence.lease.release();
  }

  /**
   * Discards parts that no record will name. An upload that may become an object is never aborted.
   */
  async #leaveOrAbort(isKept: boolean): Promise<void> {
    const { multipart } = this.#writer;
    await (isKept ? multipart?.leave(superseded()) : multipart?.abort(superseded()));
  }

  /** After a failure the unsaved bytes are of no use, and their memory is returned at once. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    const calling = work();
    this.#track(calling.catch(() => null));
    try {
      return await calling;
    } catch (error) {
      const reason = await this.#reasonOf(error);
      if (!(await this.#isDamage(reason))) throw this.#fail(reason);
      this.#damage ??= reason instanceof FixityError ? reason : uploadDamaged(reason);
      throw this.#damage;
    }
  }

  /**
   * What to report of a failure. If another holder has taken the upload over, only that matters:
   * its completion, for example, removes the parts and the tail that this holder works with.
   */
  async #reasonOf(thrown: unknown): Promise<unknown> {
    const { lease, isNamed } = this.#fence;
    if (lease.isLost) return superseded();
    // This holder has released the upload itself.
    if (!isNamed) return thrown;
    try {
      await this.#fence.confirm(AbortSignal.timeout(LOOK_TIMEOUT_MS));
      return thrown;
    } catch {
      return lease.isLost ? superseded() : thrown;
    }
  }

  /**
   * Whether a failure shows that saved parts are lost, because the multipart upload was removed.
   */
  async #isDamage(thrown: unknown): Promise<boolean> {
    if (thrown instanceof FixityError) return thrown.code === "upload-damaged";
    const { upload, completing } = this.#fence.state;
    if (upload === null || completing !== null) return false;
    if (!failedWith(thrown, 404) || thrown.code !== "NoSuchUpload") return false;
    return this.#publisher.isGone(upload).catch(() => false);
  }

  /** Releasing the upload would not make S3 finish earlier, so the record is not watched. */
  async #whileS3Works<T>(work: () => Promise<T>): Promise<T> {
    const resumeWatch = this.#fence.pauseWatch();
    try {
      return await work();
    } finally {
      resumeWatch();
    }
  }

  #track(work: Promise<unknown>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  #fail(thrown: unknown): unknown {
    this.#failure ??= { reason: toFixityError(thrown) };
    this.#writer.close(this.#failure.reason);
    return this.#failure.reason;
  }

  /**
   * Requests a release first, so that what has arrived is saved. A holder that does not release the
   * upload then loses the rest.
   */
  #endSlowSender(): void {
    const reason = new FixityError("upload-stalled", "The upload was too slow while others waited for its memory.");
    if (this.takeover.aborted) this.#fail(reason);
    else this.#fence.lease.requestRelease(reason);
  }

  get #contentType(): string {
    return this.#fence.state.mediaType ?? OCTET_STREAM;
  }

  #assertUsable(): void {
    this.#fence.lease.assertHeld();
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#isReleasing) throw new FixityError("internal-error", "The upload was released.");
  }

  #assertOpen(): void {
    if (this.#damage !== null) throw this.#damage;
    const { completing, ended } = this.#fence.state;
    if (completing === null && ended === null) return;
    throw new FixityError("internal-error", "The upload takes no more bytes: it is complete, or has ended.");
  }
}
