import type { Digest } from "./digest.ts";
import type { Committed, StageOptions } from "./store.ts";
import type { UploadId } from "./upload-id.ts";

/**
 * The part of the port for uploads that outlive a request: a store that can resume offers it as `uploads`. The life of
 * one:
 *
 *     create(id) ── hold ── write … save … write … save ── release ── hold ── …
 *                                                            │
 *                                commit(digest) ── conclude(record)      remove()
 *
 * Of every upload the store keeps its bytes, and a record: a text that the engine (`core/uploads`) writes and reads, and
 * the store does not look into.
 *
 * - **Bytes and record go together.** A save makes both durable in one step: after a crash there are the bytes and the
 *   record of one save, the last that has returned or one that was under way; never the bytes of one and the record of
 *   another. Bytes that no save has covered are gone once the upload is released, or its process has died.
 * - **One holder.** Who holds an upload can write to it; from the moment that `hold` returns, whoever held it before, in
 *   this process, in another or on another machine, changes nothing any more: its calls fail with `upload-superseded`.
 *   Of an upload that was concluded only the record is left: several may hold that at once.
 * - **Damage is final.** If saved bytes or the record are not what was saved, a call fails with `upload-damaged`, and only if
 *   that has been confirmed: what may pass is a `store-…` failure. After it, `conclude` and `remove` still work.
 * - **Nothing ends by itself.** `collect` of the store leaves uploads alone. The engine removes what has expired.
 * - **A running request keeps its upload.** For as long as the engine appends to an upload, it saves or renews the record
 *   before its expiry is reached, so that no collector, in this process or in another, takes an upload from a holder that
 *   is at work. What has expired was therefore left by its holder, or its holder is dead: the engine takes it by `hold`
 *   and looks at the record again before it removes anything.
 */
export interface UploadStore {
  /**
   * Makes an upload of no bytes under an id that nobody has used before. Durable when it returns.
   *
   * @param options are kept: later holders know them
   */
  create(id: UploadId, record: string, options?: CreateUploadOptions): Promise<void>;

  /**
   * The same, and the upload is held at once: for a store that saves work by knowing that bytes follow. Stores without it are
   * asked to `create` and then to `hold`.
   */
  createHeld?(id: UploadId, record: string, options?: StageOptions): Promise<HeldUpload>;

  /** What the last save has left, without holding the upload; `null` where there is none. */
  read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null>;

  /**
   * Takes an upload over, from whoever has it; `null` where there is none. Its former holder is asked to let go and gets a
   * second to save what it has. If it has not let go by then, it is fenced off: a write of it may go unnoticed, its next
   * save fails.
   *
   * @param read what `read` has returned for this upload a moment ago. A store may use it to save a request; that it is
   *   outdated by now must not matter.
   */
  hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | null>;

  /**
   * All uploads, in no promised order. What is created or removed during the walk may or may not be seen. The walk reads no
   * record: what it tells of an upload is what the store's own listing shows.
   */
  list(signal?: AbortSignal): AsyncIterable<UploadSummary>;
}

/** What `create` may be told, besides hints about the content. */
export interface CreateUploadOptions extends StageOptions {
  /** The upload is over from its first moment on, as if it had been concluded with this record. @default false */
  readonly isEnded?: boolean;
}

/**
 * An upload as a listing shows it. A collection decides by it which records it need not read: nothing is removed because of
 * a summary, so a wrong one can delay a removal or cost a read, and do no other harm.
 */
export interface UploadSummary {
  readonly id: UploadId;
  /**
   * Milliseconds since the record was last written, by the clock of the store and not of this machine; rounded up, never
   * negative. `null` if the store cannot tell, or if the upload has to be looked at soon: then its record is read.
   */
  readonly age: number | null;
  /** The upload was concluded. `false` if the store cannot tell. */
  readonly isEnded: boolean;
}

/** What a save has left. */
export interface SavedUpload {
  readonly record: string;
  /** Durable bytes; 0 once the upload has been concluded. */
  readonly offset: number;
  /**
   * The saved bytes, or the record, are not what was saved: the upload can only be concluded. What `read` says of it may be
   * outdated; what a holder says is final.
   */
  readonly isDamaged?: boolean;
}

/** An upload as `read` finds it. */
export interface ReadUpload extends SavedUpload {
  /**
   * `false` only if nobody holds the upload: then nobody has bytes for it that are not saved, and `offset` is where the next
   * request goes on. A store that cannot tell says `true`.
   */
  readonly isHeld: boolean;
}

/**
 * An upload in the hands of its holder. Calls come one after another, but that writes may go on while a save is under way.
 * Disposing (`await using`) releases the upload. After a failed call nothing but that is left to do.
 */
export interface HeldUpload extends SavedUpload, AsyncDisposable {
  /** Aborted, with an `upload-superseded`, when somebody else wants the upload: save what is worth it and release, within a second. */
  readonly wanted: AbortSignal;

  /**
   * The offset, past what has been written, at which the next save in the middle of a request costs least: the end of a
   * part, or some tens of MiB from the last one. A caller saves there, and need not.
   */
  readonly nextSave: number;

  /** Takes the next bytes, as {@link StagedBlob.write} does. */
  write(bytes: Uint8Array): Promise<void> | void;

  /**
   * Makes durable, in one step, everything written before this call and `record`.
   *
   * @param isLast no other call follows, so the store may release the upload in the same step. It still has to be disposed of.
   */
  save(record: string, isLast?: boolean): Promise<void>;

  /**
   * Replaces the record, durably, and nothing else: the saved bytes stay those of the last save, and bytes that were written
   * since stay unsaved. For an expiry that moves while no bytes can be saved. May be called while a write or a read is
   * under way, and not beside a save.
   */
  renew(record: string): Promise<void>;

  /**
   * All saved bytes from an offset on; `null` where the store cannot give them back. Then the engine keeps the state of its
   * hash in the record. Not to be mixed with writes.
   *
   * @param from at most `offset`. @default 0
   */
  read(from?: number): AsyncIterable<Uint8Array> | null;

  /**
   * Makes the saved bytes the blob `digest`, as {@link StagedBlob.commit} does. The record stays as it is, and the call may
   * be repeated, also by a later holder, until the upload is concluded: a crash in the middle of it loses nothing.
   */
  commit(digest: Digest): Promise<Committed>;

  /**
   * The same for everything written, saved or not: for a store that can make a blob of the bytes without saving them first.
   * If it has to save on the way it keeps `record` with them, and from then on the upload takes no more bytes. After a failure
   * or a crash the upload is as the last save has left it, this one included.
   */
  commitUnsaved?(digest: Digest, record: string): Promise<Committed>;

  /** Keeps `record` and nothing else: the upload has ended, well or not, and its bytes are given back. */
  conclude(record: string): Promise<void>;

  /** Removes the upload with all that belongs to it. */
  remove(): Promise<void>;
}
