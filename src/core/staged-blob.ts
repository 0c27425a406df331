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
   * blob that is already stored is kept and `existed` is true, unless its size differs from the
   * size written: such a blob is damaged and is replaced. A failed commit has published either
   * nothing or a complete blob of unknown durability: the caller does not acknowledge it and may
   * upload again. Called at most once.
   */
  commit(digest: Digest): Promise<Committed>;

  /**
   * Discards the bytes. Idempotent; has no effect after `commit`. Never throws: the store logs its
   * own failures.
   */
  abort(): Promise<void>;
}

/** The result of a commit. */
export interface Committed {
  /** The blob was already stored, undamaged. */
  readonly existed: boolean;
}
