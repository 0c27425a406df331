import type { BlobStat } from "./blob-stat.ts";
import type { Digest } from "./digest.ts";

/**
 * Options of `BlobStore.stage`: hints that can save work. The store trusts none of them before it
 * has the bytes.
 */
export interface StageOptions {
  /** The digest that the client announced. `commit` is called with this digest or not at all. */
  readonly digest?: Digest;
  /** The length that the client announced, in bytes. */
  readonly length?: number;
  /**
   * An upper bound on the length, if that is all that is known: a form is larger than the file in
   * it.
   */
  readonly atMost?: number;
  /**
   * `BlobStore.confirm` has just returned `null` for `digest`, so the store may save a look of its
   * own before the commit. A hint: the blob may have been stored since.
   */
  readonly isKnownAbsent?: boolean;
  /** The media type of the future link, for stores that other programs read. */
  readonly mediaType?: string;
  /**
   * Ends the work in progress: pending and later calls fail. The caller still aborts or disposes.
   */
  readonly signal?: AbortSignal;
}

/**
 * Bytes on their way to becoming a blob. The caller makes one call at a time: `write` any number of
 * times, then `commit` or `abort`. Disposing (`await using`) aborts unless `commit` has returned,
 * so leaving the scope early cleans up.
 */
export interface StagedBlob extends AsyncDisposable {
  /**
   * Takes the next bytes. They belong to the store from then on; the caller must not change them. A
   * returned promise is backpressure: the caller awaits it before the next write. A failure may
   * surface in a later call.
   */
  write(bytes: Uint8Array): Promise<void> | void;

  /**
   * Makes the written bytes the blob `digest`. Once it returns, the blob is readable and durable. A
   * blob of the same size that is already stored is kept or replaced, as `options.judge` decides; a
   * blob of another size is damaged and is replaced. At every moment a reader finds the old blob or
   * the new one. A failed commit has published either nothing or a complete blob of unknown
   * durability: the caller does not acknowledge it and may upload again. Called at most once.
   */
  commit(digest: Digest, options?: CommitOptions): Promise<Committed>;

  /**
   * Discards the bytes. Idempotent; has no effect after `commit`. Never throws: the store logs its
   * own failures.
   */
  abort(): Promise<void>;
}

/** Options of `BlobStore.stageFile`. */
export interface StageFileOptions {
  /**
   * `clone`: a copy that shares the disk blocks of the file until one of the two is written to. `link`:
   * the file itself, under a second name. The blob is then the caller's file: a program that writes to
   * it damages the blob.
   */
  readonly how: "clone" | "link";
  /** Ends the work in progress, as that of {@link StageOptions}. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A file that was staged as a whole. The caller reads {@link bytes}, hashes them, and then calls
 * `commit` or `abort`, as for a {@link StagedBlob}. `commit` fails with `length-mismatch` if the file
 * was changed after it was staged. A linked file becomes read-only with its commit.
 */
export interface StagedFile extends Omit<StagedBlob, "write"> {
  readonly size: number;
  /** What is staged, read back from the store: the bytes that `commit` publishes. Iterated once. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Options of {@link StagedBlob.commit}. */
export interface CommitOptions {
  /**
   * Called for a blob of the same size that is already stored, perhaps several times. The commit
   * waits for it, and fails with its failure. @default `keep`
   */
  readonly judge?: ((stored: BlobStat) => StoredVerdict | Promise<StoredVerdict>) | undefined;
}

/**
 * What a commit does with a blob that is already stored:
 *
 * - `keep`: the staged bytes are discarded.
 * - `replace`: the staged bytes take its place, although it may be intact.
 * - `damaged`: the staged bytes take its place. A store that can do so at little cost keeps the
 *   damaged bytes out of the way for examination, as it does for a blob of another size.
 */
export type StoredVerdict = "keep" | "replace" | "damaged";

/** The result of a commit. */
export interface Committed {
  /** The blob was already stored, with this size and not known to be damaged. */
  readonly existed: boolean;
}
