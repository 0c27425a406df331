import type { ByteRange, ByteSpan } from "./byte-range.ts";
import type { Digest } from "./digest.ts";
import type { PresignedUrl, PresignOptions } from "./presigning.ts";
import type { UploadStore } from "./upload-store.ts";

/**
 * Where blobs are kept: the port between fixity and a disk folder, an S3 bucket or whatever you bring. The life of
 * bytes in it:
 *
 *     stage() ── write() … write() ──┬── commit(digest) ──> a blob: readable, listed, durable, never changed
 *                                    └── abort(), or the process dies ──> nothing that can be read
 *
 * - **A blob is whole or not there.** Between `stage` and a `commit` that has returned, no other method sees the bytes.
 * - **What is acknowledged is durable.** When `commit` or `confirm` has answered, the blob outlives a power cut.
 * - **The name is the caller's word.** The caller hashes, counts and limits (in one place, `core/hashing.ts`) and commits
 *   under the digest of exactly the bytes written. A store may verify that, but need not.
 * - **Absence is `null`** (or `false`). Failures are `FixityError`s with a `store-…` code; nothing else is thrown but the
 *   reason of an aborted signal, as it is.
 * - **Everything may happen at once**, in one process and in several over the same folder or bucket: staging the same
 *   content twice, reading while committing, removing while reading.
 *
 * `fixity/store-contract` is this text as a test suite; every store passes it.
 */
export interface BlobStore extends AsyncDisposable {
  /** What and where the store is, for a log line: `disk at ./data`. Never holds a secret. */
  readonly description: string;

  /** Uploads that can be interrupted and resumed, where the store can keep them. */
  readonly uploads?: UploadStore;

  /** Tells several servers over one store when the last collection was, where the store can keep that. */
  readonly collectionMark?: CollectionMark;

  /**
   * Where a blob's file lies, below the store's folder and with slashes, so that another program that reads the folder can
   * send it in our place. For stores that keep each blob as a plain file of its bytes and nothing else: there, whole and in
   * this place from the moment that `stat` tells of the blob until it is removed. Said without looking whether there is such
   * a blob.
   */
  filePath?(digest: Digest): string;

  /**
   * A URL under which anybody can read a blob by `GET`, or one range of it, from the store itself. For stores that clients
   * can reach. The answers say what `says` demands, which whoever has the URL cannot change; the URL opens nothing else,
   * and holds no longer than `lifetime`, nor than the keys it was made with. It may be the same for a while, so that caches
   * know it again. Made without looking whether there is such a blob; not there, its answer is an error.
   */
  presign?(digest: Digest, options: PresignOptions): Promise<PresignedUrl>;

  /**
   * Finds out whether the store can be used as it is set up, and makes what it needs (folders). For the start of a
   * server; every other method works without it.
   *
   * @throws FixityError `store-misconfigured` or `store-unavailable`, with a message for the person who set it up
   */
  check(signal?: AbortSignal): Promise<void>;

  /** The facts of a blob that can be read now, or `null`. */
  stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null>;

  /**
   * Like {@link stat}, and where the answer is not `null` the blob is durable. An upload that finds its content already
   * there is acknowledged by this.
   */
  confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null>;

  /**
   * Opens a blob, or one range of it, for reading; `null` where there is none. Bytes are read as the reader pulls them.
   * A blob removed meanwhile is read to its end, or the reader fails; a reader never ends early without an error.
   *
   * @throws FixityError `range-not-satisfiable`, with the blob's `size`
   */
  open(digest: Digest, options?: OpenOptions): Promise<BlobReader | null>;

  /**
   * All blobs, in no promised order. What is committed or removed during the walk may or may not be seen; every other
   * blob is, once.
   */
  list(signal?: AbortSignal): AsyncIterable<BlobStat>;

  /**
   * Whatever stands in the place of a blob, or of a folder of blobs, and is neither. `list` passes over it; reads and
   * uploads of these blobs fail with `store-misconfigured`. For stores in which other programs can put such things.
   */
  misplaced?(signal?: AbortSignal): AsyncIterable<Misplaced>;

  /** Removes a blob; `false` where there was none. Does not return before the removal is durable. */
  remove(digest: Digest, signal?: AbortSignal): Promise<boolean>;

  /**
   * Makes room for bytes that are coming in. Cheap: a store that has to make something (a file, a multipart upload) may
   * put that off until it is needed.
   */
  stage(options?: StageOptions): Promise<StagedBlob>;

  /**
   * Removes what dead processes have left half-written. Never touches what a live one (this or another, here or on
   * another machine) is still writing, and never a blob. Safe at any time, also in several processes at once.
   */
  collect(signal?: AbortSignal): Promise<Collected>;
}

/** The facts of a blob. */
export interface BlobStat {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** When the blob was committed, as far as the store knows. */
  readonly modified: Date;
}

/** Something that is not a blob, where one belongs. */
export interface Misplaced {
  /** Where it is, below the store's folder, with slashes on every system. */
  readonly path: string;
  /** Of the blob in whose place it stands; `null` in the place of a folder of many. */
  readonly digest: Digest | null;
}

/** What `open` may be told. */
export interface OpenOptions {
  /** One range; without it, the whole blob. */
  readonly range?: ByteRange;
  /** Ends the read, also while bytes are being pulled. */
  readonly signal?: AbortSignal;
}

/**
 * A blob opened for reading. Iterate it once, over exactly `span.end - span.start` bytes; a store that has fewer fails
 * with `blob-damaged` or `store-unavailable` rather than end early. Leaving the loop early, or disposing of a reader that
 * was never iterated, frees what it holds.
 */
export interface BlobReader extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** Which of them this reader gives. */
  readonly span: ByteSpan;
}

/** What `stage` may be told: hints by which a store can save work. Nothing is believed before the bytes are there. */
export interface StageOptions {
  /** The digest that the client announced. `commit` will be called with this one or not at all. */
  readonly digest?: Digest;
  /** The number of bytes that the client announced. */
  readonly length?: number;
  /** No more bytes than these are coming, where only that is known: a form is larger than the file in it. */
  readonly atMost?: number;
  /**
   * {@link BlobStore.confirm} has just returned `null` for `digest`, so the store may save a look of its own before the
   * commit. A hint: the blob may have been stored since.
   */
  readonly isKnownAbsent?: boolean;
  /** The media type of the link that will be given, for stores that other programs read. */
  readonly mediaType?: string;
  /** Ends the work under way: pending and later calls fail. The caller still aborts or disposes. */
  readonly signal?: AbortSignal;
}

/**
 * Bytes on their way to become a blob. Calls come one after another: `write` any number of times, then `commit` or
 * `abort`. Disposing (`await using`) aborts unless `commit` has returned, so a scope that is left early cleans up.
 */
export interface StagedBlob extends AsyncDisposable {
  /**
   * Takes the next bytes; they are the store's from now on and the caller leaves them as they are. Where a promise is
   * returned the store has as much as it will hold, and the caller waits for it before the next write. A failure may
   * show at a later call.
   */
  write(bytes: Uint8Array): Promise<void> | void;

  /**
   * Makes the written bytes the blob `digest`. When it returns, the blob is readable and durable. Where the blob was there
   * already it stays as it is and `existed` is true; where the one that is there is damaged (its size is not the size
   * written) it is replaced. A failed commit publishes nothing, or a whole blob whose durability is not known: the
   * caller does not acknowledge it and may upload again. Not to be called twice.
   */
  commit(digest: Digest): Promise<Committed>;

  /** Throws the bytes away. May be repeated, and does nothing after `commit`. Does not fail: its own trouble is logged. */
  abort(): Promise<void>;
}

/** How a commit went. */
export interface Committed {
  /** The blob was there before, whole. */
  readonly existed: boolean;
}

/**
 * When a whole collection (uploads and all) last ended over a store, on whichever server. Servers that look at it do not all
 * collect in the same hour. It is advice: neither call fails because the store has, so trouble with the mark never keeps
 * anybody from collecting.
 */
export interface CollectionMark {
  /**
   * Milliseconds since the mark was set, by the clock of the store. `null` if there is no mark, or if the store cannot tell.
   *
   * @throws only the reason of an aborted signal
   */
  age(signal?: AbortSignal): Promise<number | null>;

  /** Sets the mark to now, unless the signal is aborted first. Does not fail: its own trouble is logged. */
  set(signal?: AbortSignal): Promise<void>;
}

/** What a collection removed. */
export interface Collected {
  /** Abandoned staged blobs. */
  readonly staged: number;
  /** Their bytes, as far as the store can tell. */
  readonly bytes: number;
}
