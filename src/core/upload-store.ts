import type { Digest } from "./digest.ts";
import type { CommitOptions, Committed, StageOptions } from "./staged-blob.ts";
import type { UploadId } from "./upload-id.ts";

/**
 * The part of the port for resumable uploads, which outlive the request that began them. A store
 * that can keep unfinished uploads offers it as `uploads`.
 *
 *     create(id) ── hold ── write … save … write … save ── release ── hold ── …
 *                                                            │
 *                  commit(digest) ── [renew(record)] ── conclude(record)      remove()
 *
 * An upload consists of its bytes and a record: a text that the engine (`core/uploads`) writes and
 * reads, and the store treats as opaque.
 *
 * The engine guarantees:
 *
 * - **It renews what it works on.** While it appends to an upload, it saves or renews the record
 *   before the expiry in it. An expired upload therefore has a dead or departed holder; the engine
 *   still takes it with `hold` and reads the record again before it removes anything.
 * - **It makes one call at a time** on a `HeldUpload`, except that writes may continue during a
 *   save or a renewal.
 *
 * The store guarantees:
 *
 * - **A save is atomic and durable.** It stores bytes and record in one step. After a crash the
 *   upload has the bytes and the record of one save, either the last that returned or one that was
 *   in progress; never the bytes of one and the record of another. Bytes that no save has covered
 *   are lost when the upload is released or its process dies.
 * - **There is one holder.** When `hold` returns, the previous holder is fenced off, in this
 *   process, in another or on another machine: nothing it does changes the upload, and its calls
 *   fail with `upload-superseded`.
 * - **Damage is final.** A call fails with `upload-damaged` only if the saved bytes or the record
 *   are confirmed to differ from what was saved; failures that may pass are `store-…`. `conclude`
 *   and `remove` still work afterwards.
 * - **Uploads do not expire by themselves.** The store's `collect` never touches them; the engine
 *   removes expired uploads.
 */
export interface UploadStore {
  /**
   * Creates an upload of zero bytes under an id that has never been used. Durable once it returns.
   *
   * @param options kept with the upload: later holders know them
   */
  create(id: UploadId, record: string, options?: CreateUploadOptions): Promise<void>;

  /**
   * Creates an upload and holds it in the same step. For stores that save work by knowing that
   * bytes follow; with other stores the engine calls `create`, then `hold`.
   */
  createHeld?(id: UploadId, record: string, options?: StageOptions): Promise<HeldUpload>;

  /** The upload as the last save has left it, without holding it; `null` if there is none. */
  read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null>;

  /**
   * Takes an upload over from its current holder, if it has one; `null` if there is no such upload.
   * The current holder is asked to release it (its `takeover` signal is aborted) and has one second
   * to save its bytes. A holder that has not released by then is fenced off: its writes may go
   * unnoticed, its next save fails.
   *
   * An upload that has ended is reported and not taken: an ended upload has no bytes to fence off,
   * and its holder, if it still has one, is not disturbed. A store of which an older version did
   * not record that an upload has ended may take such an upload instead; the engine then finds the
   * outcome in the record.
   *
   * @param read what `read` has just returned for this upload. A store may use it to save a
   *   request, and must tolerate that it is outdated.
   */
  hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | EndedUpload | null>;

  /**
   * All uploads, in no particular order. An upload that is created or removed during the walk may
   * or may not be listed. The walk reads no record: it reports what the store's own listing shows.
   */
  list(signal?: AbortSignal): AsyncIterable<UploadSummary>;
}

/** Options of {@link UploadStore.create}. */
export interface CreateUploadOptions extends StageOptions {
  /** The upload has already ended, as if it had been concluded with this record. @default false */
  readonly isEnded?: boolean;
}

/**
 * An upload as a listing shows it. A collection uses it to decide which records it need not read.
 * Nothing is removed because of a summary, so a wrong one delays a removal or costs a read, and
 * does no other harm.
 */
export interface UploadSummary {
  readonly id: UploadId;
  /**
   * Milliseconds since the record was last written, by the store's clock rather than this
   * machine's; rounded up, never negative. `null` if the store cannot tell or wants the record to
   * be read.
   */
  readonly age: number | null;
  /** The upload has ended. `false` if the store cannot tell. */
  readonly isEnded: boolean;
}

/** An upload as a save has left it. */
export interface SavedUpload {
  readonly record: string;
  /** Durable bytes; 0 once the upload has ended. */
  readonly offset: number;
  /**
   * The saved bytes or the record differ from what was saved: the upload can only be concluded or
   * removed. The value in a `ReadUpload` may be outdated, the one in a `HeldUpload` is final.
   * @default false
   */
  readonly isDamaged?: boolean;
}

/** An upload as `read` finds it. */
export interface ReadUpload extends SavedUpload {
  /**
   * `false` only if the upload has no holder: then no unsaved bytes exist anywhere, and the next
   * request continues at `offset`. A store that cannot tell reports `true`.
   */
  readonly isHeld: boolean;
}

/**
 * An upload that has ended, as `hold` reports it. Only its record is left. Any number of callers
 * may have it at once.
 */
export interface EndedUpload {
  readonly status: "ended";
  readonly record: string;

  /** Removes the upload, as {@link HeldUpload.remove} does. */
  remove(): Promise<void>;
}

/**
 * An upload in the hands of its holder. Disposing (`await using`) releases it. After a failed call
 * the holder can only release it, or conclude or remove it if the failure was `upload-damaged`.
 */
export interface HeldUpload extends SavedUpload, AsyncDisposable {
  /**
   * Tells a held upload from an {@link EndedUpload}. It stays `held` when this holder concludes the
   * upload.
   */
  readonly status: "held";

  /**
   * Aborted, with an `upload-superseded` error, when another caller wants to take the upload over.
   * The holder then has one second to save what it has and release the upload.
   */
  readonly takeover: AbortSignal;

  /**
   * The cheapest offset for the next save during a request, always past what has been written: the
   * end of a part, or some tens of MiB after the last save. A hint; the holder may save anywhere.
   */
  readonly nextSave: number;

  /** Takes the next bytes, as {@link StagedBlob.write} does. */
  write(bytes: Uint8Array): Promise<void> | void;

  /**
   * Makes everything written before this call and `record` durable, in one step.
   *
   * @param isLast no other call follows, so the store may release the upload in the same step. The
   *   holder still disposes.
   */
  save(record: string, isLast?: boolean): Promise<void>;

  /**
   * Replaces the record, durably, and nothing else: unsaved bytes stay unsaved. It postpones the
   * expiry while no bytes can be saved. May run during a write or a read, not during a save.
   *
   * Also allowed after `commit` and `commitUnsaved`, to note that the blob is stored before the
   * upload is concluded. The bytes stay as the commit has left them, and the next holder finds the
   * new record. It may conclude the upload, or repeat a `commit`.
   */
  renew(record: string): Promise<void>;

  /**
   * All saved bytes from an offset on. Left out by stores that cannot read them back; the engine
   * then keeps the state of its hashes in the record. Not to be interleaved with writes.
   *
   * @param from at most `offset`. @default 0
   */
  read?(from?: number): AsyncIterable<Uint8Array>;

  /**
   * Makes the saved bytes the blob `digest`, as {@link StagedBlob.commit} does. The record does not
   * change. Idempotent until the upload is concluded, also across holders: a crash during or after
   * the call loses nothing.
   */
  commit(digest: Digest, options?: CommitOptions): Promise<Committed>;

  /**
   * Like `commit`, for all bytes written, saved or not. Offered by stores that can make a blob of
   * the bytes without saving them first. A store that has to save on the way stores `record` with
   * them, and the upload takes no more bytes from then on. After a failure or a crash the upload is
   * as the last save has left it, that one included.
   */
  commitUnsaved?(digest: Digest, record: string, options?: CommitOptions): Promise<Committed>;

  /**
   * Ends the upload, whether it succeeded or not: only `record` is kept, and the space of the bytes
   * is freed.
   */
  conclude(record: string): Promise<void>;

  /** Removes the upload with everything that belongs to it. A blob that was made of it stays. */
  remove(): Promise<void>;
}
