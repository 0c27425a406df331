import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { CommitOptions, Committed, StagedFile } from "../../../core/staged-blob.ts";
import type { BlobReader } from "../../../core/store.ts";
import { isSameCopy, type ObjectHead } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { encodedKey, type ForeignObjects } from "../foreign-objects.ts";
import { toFixityError, withStoreErrors } from "../store-error.ts";
import type { Publisher } from "./publisher.ts";
import type { StagedCopy } from "./server-copy.ts";

/** A store whose server can copy objects of another bucket into it. */
export interface CopiesForeignObjects {
  /** `null` if the objects are at another server. */
  copiesOf(source: ForeignObjects): ForeignCopies | null;
}

/** How an object is staged. */
export interface StageObjectOptions {
  readonly contentType: string;
  readonly signal: AbortSignal;
}

/**
 * Copies of objects that other programs have stored in another bucket, made by the server:
 *
 *     their bucket ──copy──> tmp/<32 hex digits> ──read, hashed──> copy to blobs/<digest>, tmp/… removed
 *
 * What is read and hashed is the copy, which no other program writes to. So a blob has the bytes of
 * its name whatever happens to the source meanwhile, also where the server ignores conditions of
 * copies. A process that dies leaves an object below `tmp/`, which the collector removes.
 */
export class ForeignCopies {
  readonly #source: ForeignObjects;
  readonly #publisher: Publisher;
  #isRefused = false;

  /** @param publisher of the store that gets the copies, at the same server */
  constructor(source: ForeignObjects, publisher: Publisher) {
    this.#source = source;
    this.#publisher = publisher;
  }

  /**
   * Stages an object. `null` if the server does not copy it, or if it is gone: it can be read then,
   * and sent. After a refusal no other object is tried.
   *
   * @throws FixityError `length-mismatch` if the object was replaced meanwhile, or a `store-…` code
   */
  async stage(key: string, { contentType, signal }: StageObjectOptions): Promise<StagedFile | null> {
    if (this.#isRefused) return null;
    // Reading it will fail as well, with the error to report.
    const before = await this.#source.head(key, signal).catch(() => null);
    if (before === null) return null;
    const copy = await this.#copy(key, before, { contentType, signal });
    if (copy === null) return null;
    const staged = new StagedObject(copy, { publisher: this.#publisher, contentType, signal });
    try {
      const after = await this.#source.head(key, signal);
      // Of parts that are copied one after another, some would be of the new object.
      if (after === null || !isSameCopy(before, after)) throw replaced();
      return staged;
    } catch (error) {
      await staged.abort();
      throw toFixityError(error);
    }
  }

  /** @returns `null` if the server does not copy the object */
  async #copy(key: string, { size, etag }: ObjectHead, options: StageObjectOptions): Promise<StagedCopy | null> {
    const from = { bucket: this.#source.bucket, key: encodedKey(key), ...(etag !== null && { ifMatch: etag }) };
    try {
      return (await this.#publisher.stageCopy(from, { size, ...options })) ?? this.#refuse();
    } catch (error) {
      if (failedWith(error, 412)) throw replaced();
      // A server that does not know copies makes an empty object, and answers 200 without a result.
      const isRefusal = error instanceof S3Error && (error.isRefusal || error.status === 200);
      if (!isRefusal) throw toFixityError(error);
      return error.code === "NoSuchKey" ? null : this.#refuse();
    }
  }

  #refuse(): null {
    this.#isRefused = true;
    return null;
  }
}

/** A copy at a staging key, until it is committed or aborted. */
class StagedObject implements StagedFile {
  readonly size: number;
  readonly bytes: BlobReader;
  readonly #copy: StagedCopy;
  readonly #options: StageObjectOptions & { readonly publisher: Publisher };
  #isEnded = false;

  constructor(copy: StagedCopy, options: StageObjectOptions & { readonly publisher: Publisher }) {
    this.size = copy.bytes.size;
    this.bytes = copy.bytes;
    this.#copy = copy;
    this.#options = options;
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    if (this.#isEnded) throw new FixityError("internal-error", "The staged object was committed or aborted.");
    this.#isEnded = true;
    const { size } = this;
    const { key, isDoubtful, unprotect } = this.#copy;
    const { publisher, contentType, signal } = this.#options;
    try {
      await this.bytes[Symbol.asyncDispose]();
      const publication = { key, digest, size, contentType, isDoubtful, judge, signal };
      return { existed: await withStoreErrors(() => publisher.publishStaged(publication)) };
    } finally {
      unprotect();
    }
  }

  async abort(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.bytes[Symbol.asyncDispose]();
    await this.#options.publisher.discard(this.#copy.key);
    this.#copy.unprotect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }
}

function replaced(): FixityError {
  return new FixityError("length-mismatch", "The object was replaced while it was copied.");
}
