import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import { OCTET_STREAM } from "../../../core/media-type.ts";
import { ABSENCE_TRUSTED_MS } from "../publish/publisher.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import type { Committed } from "../../../core/store.ts";
import type { HeldUpload } from "../../../core/upload-store.ts";
import { storeFault } from "../faults.ts";
import { isGone } from "../publish/publisher.ts";
import { type MultipartUpload, protect, type SentParts } from "../send/multipart-upload.ts";
import { failedWith } from "../api/s3-error.ts";
import type { Fence } from "./fence.ts";
import { endedState, superseded } from "./upload-state.ts";
import type { UploadTools } from "./upload-tools.ts";
import { UploadWriter } from "./upload-writer.ts";

/** What the last save changes besides: nobody holds the upload any more. */
const RELEASED = { holder: null, isWanted: false } as const;

/** Milliseconds that a failed call waits to learn whether the upload is still this holder's. */
const LOOK_TIMEOUT_MS = 3_000;

/** An upload in the hands of its holder: its bytes go through a writer, its record through a fence. */
export class S3HeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #fence: Fence;
  readonly #tools: UploadTools;
  readonly #writer: UploadWriter;
  readonly #released = Promise.withResolvers<void>();
  /** Calls, and removals that only the release waits for; none of them rejects. */
  readonly #underWay = new Set<Promise<unknown>>();
  /** A tail is there before the record names it. */
  readonly #forget: () => void;
  #failure: { readonly reason: unknown } | null = null;
  /** Saved bytes are lost: the upload can only be concluded or removed. */
  #damage: FixityError | null = null;
  /** The record names the multipart upload, or may do so. */
  #isNamed: boolean;
  #isReleasing = false;

  constructor(fence: Fence, tools: UploadTools) {
    const { id, state } = fence;
    this.#fence = fence;
    this.#tools = tools;
    this.#writer = new UploadWriter({ id, state, tools, onSlowSender: () => this.#endSlowSender() });
    this.#isNamed = state.upload !== null;
    this.#forget = protect(tools.layout.record(id));
  }

  get record(): string {
    return this.#fence.state.text;
  }

  get offset(): number {
    return this.#fence.state.offset;
  }

  get takeover(): AbortSignal {
    return this.#fence.wanted;
  }

  get nextSave(): number {
    return this.#writer.nextSave(this.#fence.state.offset);
  }

  /** Settles when the upload has been released, or has ended. */
  get released(): Promise<void> {
    return this.#released.promise;
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#assertUsable();
    this.#assertOpen();
    this.#fence.noteBytes(bytes.length);
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
      const saved = await this.#waitingForS3(() => this.#writer.save());
      this.#isNamed ||= saved.upload !== null;
      await this.#fence.replace((state) => ({ ...state, ...saved, text: record, ...released }));
      if (before.tail !== null) this.#note(this.#tools.tails.remove(before.tail.key));
    });
  }

  async renew(record: string): Promise<void> {
    this.#assertUsable();
    return this.#call(() => this.#fence.replace((state) => ({ ...state, text: record })));
  }

  async commit(digest: Digest): Promise<Committed> {
    this.#assertUsable();
    return this.#call(async () => {
      const { offset, ended } = this.#fence.state;
      if (ended !== null || this.#writer.size !== offset) {
        throw new FixityError("internal-error", "The upload has ended, or has bytes that are not saved.");
      }
      const { large } = this.#writer;
      const commit = () => (large === null ? this.#putWhole(digest) : this.#publish(large, digest, null));
      return { existed: await this.#waitingForS3(commit) };
    });
  }

  async commitUnsaved(digest: Digest, record: string): Promise<Committed> {
    this.#assertUsable();
    this.#assertOpen();
    // If a holder was fenced off there may be parts behind the last one, and the tail may be needed once more (Completer).
    if (this.#fence.state.isUntidy) {
      await this.save(record);
      return this.commit(digest);
    }
    return this.#call(async () => {
      const { large } = this.#writer;
      const commit = () => (large === null ? this.#putWhole(digest) : this.#publish(large, digest, record));
      return { existed: await this.#waitingForS3(commit) };
    });
  }

  async conclude(record: string): Promise<void> {
    this.#assertUsable();
    return this.#call(() => this.#end("concluded", record));
  }

  async remove(): Promise<void> {
    this.#assertUsable();
    return this.#call(async () => {
      // what was concluded names nothing that would have to be removed first
      if (this.#fence.state.ended === "concluded") this.#released.resolve();
      else await this.#end("removed", this.record);
      await this.#tools.records.remove(this.#fence.id);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isReleasing) return this.released;
    this.#isReleasing = true;
    this.#writer.close(superseded());
    await Promise.all(this.#underWay);
    await this.#letGo(this.#isNamed);
    await this.#fence.release({ isUntidy: this.#failure !== null });
    this.#forget();
    this.#released.resolve();
  }

  /** Bytes that could never be saved are not taken. */
  async #writeIfHeld(bytes: Uint8Array): Promise<void> {
    await this.#fence.confirm();
    await this.#writer.write(bytes);
  }

  async #putWhole(digest: Digest): Promise<boolean> {
    const contentType = this.#contentType;
    return this.#writer.whole((chunks, length) =>
      this.#tools.publisher.putWhole(
        digest,
        { chunks, length, digest: digest.hex },
        // What has been saved is committed, whether its sender is still there or not.
        { contentType, signal: undefined },
      ),
    );
  }

  /** @param record of an upload whose last bytes are not saved yet: they are saved as parts, when the completion begins */
  async #publish(large: MultipartUpload, digest: Digest, record: string | null): Promise<boolean> {
    const { completing, parts, tail, absentAt = 0 } = this.#fence.state;
    const { size } = this.#writer;
    return this.#tools.publisher.publish({
      upload: large,
      digest,
      size,
      contentType: this.#contentType,
      isKnownAbsent: Math.abs(Date.now() - absentAt) < ABSENCE_TRUSTED_MS,
      sendLast: async () => {
        if (completing !== null) return;
        const sent = await this.#writer.sendTail();
        if (record !== null && sent !== null) return this.#beginWith(sent, record);
        const last = sent?.parts[parts.length] ?? null;
        await this.#fence.replace((state) => ({ ...state, completing: { last } }));
      },
      resumable: {
        isRepeated: completing !== null,
        // what was not saved is not there to be sent again, and needs no padding: there are no parts behind it
        resendLast: () => (record === null ? this.#writer.padTail(parts.length + 1, tail) : large.sent()),
      },
    });
  }

  /** Saves all parts and that their completion begins, in one step. */
  async #beginWith({ name, parts }: SentParts, record: string): Promise<void> {
    const { tail } = this.#fence.state;
    await this.#writer.large?.keep();
    this.#isNamed = true;
    const saved = { offset: this.#writer.size, upload: name, parts, tail: null, completing: { last: null } };
    await this.#fence.replace((state) => ({ ...state, ...saved, text: record }));
    if (tail !== null) this.#note(this.#tools.tails.remove(tail.key));
  }

  /** Names nothing any more, and then removes what was named. */
  async #end(ended: "concluded" | "removed", record: string): Promise<void> {
    const { tail, isUntidy, completing } = this.#fence.state;
    await this.#fence.replace((state) => endedState(state, ended, record));
    this.#writer.close(superseded());
    // a completion that was refused for good is not under way (MultipartUpload aborts in no other case)
    await this.#letGo(completing !== null && this.#damage === null);
    const { tails } = this.#tools;
    if (isUntidy) await tails.removeAll(this.#fence.id);
    else if (tail !== null) await tails.remove(tail.key);
    // nobody need wait for it any more
    this.#released.resolve();
  }

  /** What nobody will name is thrown away; what may be on its way to become an object never is. */
  async #letGo(isKept: boolean): Promise<void> {
    const reason = superseded();
    await (isKept ? this.#writer.large?.leave(reason) : this.#writer.large?.abort(reason));
  }

  /** After a failure the bytes that are not saved are of no use; what they take up is given back at once. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    const calling = work();
    this.#note(calling.catch(() => null));
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
   * What to report of a failure: where another holder has taken the upload over, only that matters. Its completion, for
   * one, removes the parts and the tail that this holder works with.
   */
  async #reasonOf(thrown: unknown): Promise<unknown> {
    const { state, token, isLost } = this.#fence;
    if (isLost) return superseded();
    // this holder has let go itself
    if (state.holder !== token) return thrown;
    try {
      await this.#fence.confirm(AbortSignal.timeout(LOOK_TIMEOUT_MS));
      return thrown;
    } catch {
      return this.#fence.isLost ? superseded() : thrown;
    }
  }

  /** Whether what failed shows that saved parts are lost: somebody has removed the multipart upload that they belong to. */
  async #isDamage(error: unknown): Promise<boolean> {
    if (error instanceof FixityError) return error.code === "upload-damaged";
    const { upload, completing } = this.#fence.state;
    if (upload === null || completing !== null || !failedWith(error, 404) || error.code !== "NoSuchUpload")
      return false;
    return isGone(this.#tools.client, upload).catch(() => false);
  }

  /** While S3 is at work, letting go would not make it end earlier: nobody looks whether the upload is wanted. */
  async #waitingForS3<T>(work: () => Promise<T>): Promise<T> {
    const end = this.#fence.pauseWatch();
    try {
      return await work();
    } finally {
      end();
    }
  }

  #note(work: Promise<unknown>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  #fail(thrown: unknown): unknown {
    this.#failure ??= { reason: storeFault(thrown) };
    this.#writer.close(this.#failure.reason);
    return this.#failure.reason;
  }

  /** First the sender is left, so that what came can be saved; who does not let go then loses what is not. */
  #endSlowSender(): void {
    const reason = new FixityError("upload-stalled", "The upload was too slow while others waited for its place.");
    if (this.takeover.aborted) this.#fail(reason);
    else this.#fence.ask(reason);
  }

  get #contentType(): string {
    return this.#fence.state.mediaType ?? OCTET_STREAM;
  }

  #assertUsable(): void {
    if (this.#fence.isLost) throw superseded();
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
