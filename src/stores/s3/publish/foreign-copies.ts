import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { CommitOptions, Committed, StagedFile } from "../../../core/staged-blob.ts";
import type { BlobReader } from "../../../core/store.ts";
import type { S3Client } from "../api/client.ts";
import { isSameCopy, type ObjectHead } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { encodedKey, type ForeignObjects } from "../foreign-objects.ts";
import type { Layout } from "../layout.ts";
import { openObject } from "../s3-reader.ts";
import { protect } from "../send/multipart-upload.ts";
import { toFixityError, withStoreErrors } from "../store-error.ts";
import type { Publisher } from "./publisher.ts";
import type { ServerCopier } from "./server-copy.ts";

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

/** What copies need of their store. */
interface StoreParts {
  readonly client: S3Client;
  readonly layout: Layout;
  readonly copier: ServerCopier;
  readonly publisher: Publisher;
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
  readonly #store: StoreParts;
  #isRefused = false;

  constructor(source: ForeignObjects, store: StoreParts) {
    this.#source = source;
    this.#store = store;
  }

  /**
   * Stages an object. `null` if the server does not copy it, or if it is gone: it can be read then,
   * and sent. After a refusal no other object is tried.
   *
   * @throws FixityError `length-mismatch` if the object was replaced meanwhile, or a `store-…` code
   */
  async stage(key: string, options: StageObjectOptions): Promise<StagedFile | null> {
    if (this.#isRefused) return null;
    const { signal } = options;
    // Reading it will fail as well, with the error to report.
    const before = await this.#source.head(key, signal).catch(() => null);
    if (before === null) return null;
    const to = this.#store.layout.newStaging();
    const unprotect = protect(to);
    let isStaged = false;
    try {
      const copied = await this.#copy(key, { before, to, ...options });
      if (copied === null) return null;
      const after = await this.#source.head(key, signal);
      // Of parts that are copied one after another, some would be of the new object.
      if (after === null || !isSameCopy(before, after)) throw replaced();
      const reader = await openObject(this.#store.client, to, { signal });
      if (reader?.size !== before.size) {
        await reader?.[Symbol.asyncDispose]();
        return this.#refuse();
      }
      isStaged = true;
      return new StagedCopy(reader, { ...options, ...copied, key: to, publisher: this.#store.publisher, unprotect });
    } catch (error) {
      throw toFixityError(error);
    } finally {
      if (!isStaged) {
        await this.#store.publisher.discard(to);
        unprotect();
      }
    }
  }

  /** @returns `null` if the server does not copy the object */
  async #copy(
    key: string,
    {
      before: { size, etag },
      to,
      contentType,
    }: StageObjectOptions & { readonly before: ObjectHead; readonly to: string },
  ): Promise<{ readonly isDoubtful: boolean } | null> {
    const from = { bucket: this.#source.bucket, key: encodedKey(key), ...(etag !== null && { ifMatch: etag }) };
    try {
      const { isInferred } = await this.#store.copier.copy({ from, to, size, contentType, isDoubtful: false });
      return { isDoubtful: isInferred };
    } catch (error) {
      if (failedWith(error, 412)) throw replaced();
      // A server that does not know copies makes an empty object, and answers 200 without a result.
      const isRefusal = error instanceof S3Error && (error.isRefusal || error.status === 200);
      if (!isRefusal) throw error;
      return error.code === "NoSuchKey" ? null : this.#refuse();
    }
  }

  #refuse(): null {
    this.#isRefused = true;
    return null;
  }
}

interface StagedCopyOptions extends StageObjectOptions {
  readonly key: string;
  readonly isDoubtful: boolean;
  readonly publisher: Publisher;
  readonly unprotect: () => void;
}

/** A copy at a staging key. */
class StagedCopy implements StagedFile {
  readonly size: number;
  readonly bytes: BlobReader;
  readonly #options: StagedCopyOptions;
  #isEnded = false;

  constructor(bytes: BlobReader, options: StagedCopyOptions) {
    this.size = bytes.size;
    this.bytes = bytes;
    this.#options = options;
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    if (this.#isEnded) throw new FixityError("internal-error", "The staged object was committed or aborted.");
    this.#isEnded = true;
    const { publisher, unprotect, ...publication } = this.#options;
    try {
      await this.bytes[Symbol.asyncDispose]();
      const { size } = this;
      const existed = await withStoreErrors(() => publisher.publishStaged({ ...publication, digest, size, judge }));
      return { existed };
    } finally {
      unprotect();
    }
  }

  async abort(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const { publisher, key, unprotect } = this.#options;
    await this.bytes[Symbol.asyncDispose]();
    await publisher.discard(key);
    unprotect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }
}

function replaced(): FixityError {
  return new FixityError("length-mismatch", "The object was replaced while it was copied.");
}
