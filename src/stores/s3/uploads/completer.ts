import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { KnownAbsent } from "../known-absent.ts";
import type { LargeUpload, SentParts } from "../large-upload.ts";
import type { Layout } from "../layout.ts";
import { listParts } from "../listing.ts";
import type { UploadContext } from "../multipart-upload.ts";
import type { Part } from "../multipart.ts";
import { headObject } from "../objects.ts";
import type { Publisher } from "../publisher.ts";
import { failedWith } from "../s3-error.ts";
import { type CopyLimits, copyInside } from "../server-copy.ts";

/** What a completer works with. */
export interface CompleterParts {
  readonly context: UploadContext;
  readonly layout: Layout;
  readonly publisher: Publisher;
  readonly knownAbsent: KnownAbsent;
  readonly copyLimits: CopyLimits;
}

/** An upload of more than a part that is to become a blob. */
export interface Completing {
  readonly large: LargeUpload;
  readonly digest: Digest;
  /** Bytes in all. */
  readonly size: number;
  readonly contentType: string;
  /** Somebody was here before and may have done any of it. */
  readonly isRepeated: boolean;
  /** Sends the last part and puts down that the completion begins, unless that was done before. */
  readonly begin: () => Promise<void>;
  /** Sends the last part once more, as large as one must be that others follow. */
  readonly pad: () => Promise<SentParts | null>;
}

/**
 * Makes blobs of uploads that were resumed. Like {@link Publisher}, but so that whoever comes next can do it again from
 * anywhere: what it needs for that is left in place until the blob is there, and nothing is ever aborted.
 */
export class Completer {
  readonly #parts: CompleterParts;

  constructor(parts: CompleterParts) {
    this.#parts = parts;
  }

  /** @returns whether it was there before, whole */
  async publish(job: Completing): Promise<boolean> {
    const { layout, publisher, knownAbsent } = this.#parts;
    const { large, digest, size, isRepeated } = job;
    const key = layout.blob(digest);
    const isStaged = layout.isStaging(large.key);
    if (large.key !== key && !isStaged) {
      throw new FixityError("internal-error", "Another digest was announced than the one committed.");
    }
    const isKnownAbsent = !isStaged && !isRepeated && knownAbsent.has(digest);
    if (!isKnownAbsent && (await publisher.isThere(key, size))) {
      if (isRepeated && isStaged) await publisher.discard(large.key);
      return true;
    }
    await job.begin();
    knownAbsent.forget(digest);
    if (isStaged) await this.#completeAndMove(job, key);
    else await large.complete();
    return false;
  }

  async #completeAndMove(job: Completing, key: string): Promise<void> {
    const { context, copyLimits, publisher } = this.#parts;
    const { large, size, contentType } = job;
    const isDoubtful = await this.#complete(job);
    let isInferred: boolean;
    try {
      const copy = { from: large.key, to: key, size, contentType, isDoubtful };
      ({ isInferred } = await copyInside(context, copyLimits, copy));
    } catch (error) {
      // A copy whose answer is missing may still be under way, and reading: what it reads is left to the collector.
      if (await publisher.isThere(key, size)) return;
      throw error;
    }
    // A copy that was found before it was confirmed may still be reading: its source is left to the collector.
    if (!isInferred) await publisher.discard(large.key);
  }

  /** @returns whether the object at the staging key is one whose completion nobody has confirmed, or has more bytes */
  async #complete(job: Completing): Promise<boolean> {
    const { large, size, isRepeated } = job;
    const found = isRepeated ? await headObject(this.#parts.context.client, large.key) : null;
    if (found !== null && found.size >= size) return true;
    try {
      return (await large.complete()).isInferred;
    } catch (error) {
      if (!failedWith(error, 400) || error.code !== "InvalidPart") throw error;
      await large.complete(await this.#strays(await job.pad()));
      return true;
    }
  }

  /**
   * Parts that were sent by somebody who then died, behind the last one of the upload as it has become. AWS leaves out what
   * the list of a completion leaves out, Ceph refuses such a list: so they are named, and not copied afterwards.
   */
  async #strays(sent: SentParts | null): Promise<readonly Part[]> {
    if (sent === null) return [];
    const strays: Part[] = [];
    for await (const { items } of listParts(this.#parts.context.client, sent.name)) {
      for (const part of items) {
        const known = sent.parts[part.number - 1];
        if (known === undefined) strays.push(part);
        else if (known.etag !== part.etag) {
          throw new FixityError("blob-damaged", "A part of the upload has been replaced by somebody else.");
        }
      }
    }
    return strays;
  }
}
