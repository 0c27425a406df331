import type { BlobIdentity, BlobStat } from "./blob-stat.ts";
import type { ByteRange, ByteSpan } from "./byte-range.ts";
import type { Digest } from "./digest.ts";
import type { DocumentStore } from "./document-store.ts";
import type { PresignedUrl, PresignOptions } from "./presigning.ts";
import type { StagedBlob, StagedFile, StageFileOptions, StageOptions } from "./staged-blob.ts";
import type { UploadStore } from "./upload-store.ts";

/** Memory of a store, in bytes where nothing else is said. */
export interface StoreUsage {
  /** The buffers of running uploads. */
  readonly buffers?: {
    readonly used: number;
    readonly budget: number;
    /** Uploads that wait for memory. */
    readonly waiting: number;
  };
  /** The cache of small blobs. */
  readonly cache?: {
    readonly used: number;
    readonly budget: number;
    readonly entries: number;
    /** Reads since the start that needed no bytes of the store behind the cache, and that did. */
    readonly hits: number;
    readonly misses: number;
  };
}

/**
 * The port between fixity and the place where blobs are kept: a disk folder, an S3 bucket, or a
 * store of your own.
 *
 *     stage() ── write() … write() ──┬── commit(digest) ──> a blob: readable, listed, durable, immutable
 *                                    └── abort(), or the process dies ──> nothing that can be read
 *
 * The caller guarantees:
 *
 * - It commits bytes under their own digest. It has counted, limited and hashed them
 *   (`core/intake.ts`); a store may check the digest but need not.
 * - It calls the methods of one `StagedBlob` one after another. Everything else may run
 *   concurrently, in one process and in several over the same folder or bucket: staging the same
 *   content twice, reading while committing, removing while reading.
 *
 * The store guarantees:
 *
 * - **Atomicity.** Before `commit` has returned, no other method sees the bytes. A partially
 *   written blob is never readable.
 * - **Durability.** Once `commit` or `confirm` has returned, the blob survives a power failure.
 * - **Idempotence.** Committing content that is already stored succeeds, keeps the existing blob
 *   unless `judge` decides otherwise, and reports `existed`.
 * - **Crash safety.** A process that dies leaves nothing readable, and nothing that `collect` does
 *   not find and remove.
 * - **Errors.** Absence is `null` or `false`. A failure is a `FixityError` with a `store-…` code.
 *   The only other error a method throws is the reason of an aborted signal, unchanged.
 *
 * Optional members are capabilities: a store that lacks one leaves it out, and callers test for
 * `undefined`. `fixity/store-contract` is this text as a test suite; every store passes it.
 */
export interface BlobStore extends AsyncDisposable {
  /**
   * What kind of store this is: `disk`, `s3`, `memory`, or a word of your own. For programs; never
   * shown to clients.
   */
  readonly kind: string;

  /** What the store is and where, for log lines: `disk at ./data`. Never contains a secret. */
  readonly description: string;

  /** Resumable uploads. Left out by stores that cannot keep unfinished uploads. */
  readonly uploads?: UploadStore;

  /**
   * Small texts that all instances share. Left out by stores that cannot keep them; then what one
   * instance finds out about a blob is not known to the others.
   */
  readonly documents?: DocumentStore;

  /**
   * Whether reading costs neither requests nor network traffic, so that blobs may be read to verify
   * them without a client asking for it. @default false
   */
  readonly isLocal?: boolean;

  /**
   * Whether a commit replaces a stored blob at no more cost than it keeps it (a rename on a disk).
   * Then a blob that was not verified lately is replaced by the bytes that have just arrived;
   * otherwise it is read and compared first. @default false
   */
  readonly replacesCheaply?: boolean;

  /**
   * Tells several servers over one store when the last collection ended. Left out by stores that
   * cannot keep the mark.
   */
  readonly collectionMark?: CollectionMark;

  /**
   * The path of a blob's file relative to the store's root folder, with forward slashes, so that a
   * web server can send the file itself. Only for stores that keep each blob as a plain file of
   * exactly its bytes: the file exists, complete, from the moment `stat` reports the blob until the
   * blob is removed. Computed without checking that the blob exists.
   */
  filePath?(digest: Digest): string;

  /**
   * A URL from which anybody can `GET` a blob, or one range of it, directly from the store. Only
   * for stores that clients can reach. The response has `responseFields`; the holder of the URL
   * cannot change them, and the URL grants nothing else. It expires after `lifetime`, or
   * earlier with the credentials that signed it. The same URL may be returned for a while so that
   * caches recognise it. Computed without checking that the blob exists; if it does not, the URL
   * answers with an error.
   */
  presign?(digest: Digest, options: PresignOptions): Promise<PresignedUrl>;

  /** What the store uses of its memory at the moment, for metrics. */
  usage?(): StoreUsage;

  /**
   * Checks that the store is usable as configured and creates what it needs, such as folders.
   * Called once when a server starts; every other method also works without it.
   *
   * @throws FixityError `store-misconfigured` or `store-unavailable`, with a message for the
   *   operator
   */
  check(signal?: AbortSignal): Promise<void>;

  /** The facts of a readable blob, or `null`. */
  stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null>;

  /**
   * Like {@link stat}, and additionally makes sure that the blob is durable. An upload whose
   * content is already stored is acknowledged after this call.
   */
  confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null>;

  /**
   * Opens a blob, or one range of it, for reading; `null` if there is no such blob. Bytes are read
   * as the reader pulls them; the store need not check them. If the blob is removed while it is read, the reader either delivers
   * all bytes or fails; it never ends early without an error.
   *
   * @throws FixityError `range-not-satisfiable`, with the blob's `size`
   */
  open(digest: Digest, options?: OpenOptions): Promise<BlobReader | null>;

  /**
   * All blobs, in no particular order. A blob that is committed or removed during the walk may or
   * may not be listed; every other blob is listed exactly once.
   */
  list(signal?: AbortSignal): AsyncIterable<BlobStat>;

  /**
   * Those blobs of {@link list} whose digest begins with two hex digits, `00` to `ff`, so that long
   * work on all blobs can be divided, recorded and resumed. Left out by stores that would have to
   * look at all blobs for it.
   *
   * @param prefix two lower-case hex digits
   */
  listPrefix?(prefix: string, signal?: AbortSignal): AsyncIterable<BlobStat>;

  /**
   * Everything that occupies the place of a blob, or of a folder of blobs, without being one.
   * `list` skips it; reads and uploads of the blobs concerned fail with `store-misconfigured`. Only
   * for stores that other programs can write to.
   */
  misplaced?(signal?: AbortSignal): AsyncIterable<Misplaced>;

  /** Removes a blob, durably; `false` if there was none. Idempotent. */
  remove(digest: Digest, signal?: AbortSignal): Promise<boolean>;

  /**
   * Begins to receive bytes. Cheap: a store that has to create something (a file, a multipart
   * upload) may postpone that until it is needed.
   */
  stage(options?: StageOptions): Promise<StagedBlob>;

  /**
   * Stages a file of this machine without copying its bytes; `null` if that is impossible (another
   * file system, one that cannot do it, or a file that the store could not keep: of another owner, not a
   * regular file). Nothing was done then, and the caller stages the bytes. Never follows a symbolic
   * link at the end of `path`. Left out by stores that are not in a file system.
   */
  stageFile?(path: string, options: StageFileOptions): Promise<StagedFile | null>;

  /**
   * Removes what dead processes have left half-written. Never removes a blob, nor anything that a
   * live process, here or on another machine, is still writing. Safe at any time and in several
   * processes at once.
   */
  collect(signal?: AbortSignal): Promise<Collected>;

  /**
   * Removes the damaged bytes that commits have replaced and kept for examination; `collect` does
   * so 30 days after they were replaced. Left out by stores that keep none.
   */
  removeDamaged?(signal?: AbortSignal): Promise<RemovedDamage>;
}

/** Something that occupies the place of a blob without being one. */
export interface Misplaced {
  /** Its path relative to the store's root folder, with forward slashes on every system. */
  readonly path: string;
  /** The blob whose place it occupies; `null` for the place of a folder of many blobs. */
  readonly digest: Digest | null;
}

/** Options of {@link BlobStore.open}. */
export interface OpenOptions {
  /** One range. @default the whole blob */
  readonly range?: ByteRange | undefined;
  /** Ends the read, also while bytes are being pulled. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Reads the stored bytes, not a copy of them that a cache keeps. @default false
   */
  readonly bypassCache?: boolean;
}

/**
 * A blob opened for reading. It is iterated once and yields exactly `span.end - span.start` bytes;
 * a store that finds fewer fails with `blob-damaged` or `store-unavailable`. Leaving the loop
 * early, or disposing of a reader that was never iterated, frees its resources.
 */
export interface BlobReader extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** The bytes that this reader yields. */
  readonly span: ByteSpan;
  /** See {@link BlobIdentity}. */
  readonly identity?: BlobIdentity;
  /**
   * The bytes of `span`, if the reader has them in memory and they are known to have the digest: a
   * cache's. They must not be changed. A caller that takes them need neither iterate nor dispose.
   */
  readonly verifiedBytes?: Uint8Array;
  /**
   * Returns the memory of a chunk that this reader has yielded, so that later chunks need no new
   * memory. The caller, who need not call this, must not touch the chunk afterwards.
   */
  recycle?(chunk: Uint8Array): void;
  /** With `verifiedBytes`: when they were read from the store and hashed, by `performance.now()`. */
  readonly verifiedAt?: number;
}

/**
 * When the last complete collection over a store ended, on whichever server. Servers consult it so
 * that they do not all collect in the same hour. It is advice: a failing store fails neither call,
 * so the mark never prevents a collection.
 */
export interface CollectionMark {
  /**
   * Milliseconds since the mark was set, by the store's clock; `null` if there is no mark or the
   * store cannot tell.
   *
   * @throws only the reason of an aborted signal
   */
  age(signal?: AbortSignal): Promise<number | null>;

  /**
   * Sets the mark to now, unless the signal is aborted first. Never throws: the store logs its own
   * failures.
   */
  set(signal?: AbortSignal): Promise<void>;
}

/** What {@link BlobStore.removeDamaged} has removed. */
export interface RemovedDamage {
  /** Damaged blobs; one may have been replaced several times. */
  readonly blobs: number;
  /** Their bytes. */
  readonly bytes: number;
}

/** What a collection has removed. */
export interface Collected {
  /** Abandoned staged blobs. */
  readonly staged: number;
  /** Their bytes, as far as the store can tell. */
  readonly bytes: number;
}
