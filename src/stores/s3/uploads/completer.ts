import { delay } from "../../../base/abort-race.ts";
import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import type { S3Client } from "../api/client.ts";
import type { KnownAbsent } from "../publish/known-absent.ts";
import type { LargeUpload, SentParts } from "../send/large-upload.ts";
import type { Layout } from "../layout.ts";
import { listParts } from "../api/listing.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import type { Part, UploadName } from "../api/multipart.ts";
import { headObject } from "../api/objects.ts";
import type { Publisher } from "../publish/publisher.ts";
import { failedWith, type S3Error } from "../api/s3-error.ts";
import { type CopyLimits, copyInside } from "../publish/server-copy.ts";

/** Milliseconds between looks for what seems to be lost: some stores show objects only after a while. */
export const LOOK_AGAIN_AFTER_MS = [250, 1_000, 2_000] as const;

const NO_SUCH_UPLOAD = "NoSuchUpload";

/** Codes of refusals that are about the parts of an upload ("CompleteMultipartUpload" in the S3 API reference). */
const ABOUT_PARTS: ReadonlySet<string | null> = new Set(["InvalidPart", "InvalidPartOrder", "EntityTooSmall"]);

function isAboutParts(error: unknown): boolean {
  return failedWith(error, 400) && ABOUT_PARTS.has(error.code);
}

/** Whether S3 says that it does not know a multipart upload. */
export async function isGone(client: S3Client, name: UploadName): Promise<boolean> {
  try {
    for await (const _ of listParts(client, name)) return false;
    return false;
  } catch (error) {
    if (failedWith(error, 404) && error.code === NO_SUCH_UPLOAD) return true;
    throw error;
  }
}

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
    else await this.#complete(job);
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

  /**
   * Which failures are final:
   *
   * | the completion is answered with | then |
   * | --- | --- |
   * | 5xx, 408, 429, a transient code, or nothing | the upload stays as it is, and the next request tries again |
   * | 403, 412 and every other refusal | the same: it may be a setting that somebody corrects |
   * | `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall` | the parts are listed. If one has another tag than it was sent with, that is final. Otherwise the completion is asked for once more, and the same refusal is final |
   * | `NoSuchUpload` | the object is looked for, for some seconds. If it is not there, and the parts cannot be listed for the same reason, that is final |
   *
   * @returns whether the object is one whose completion nobody has confirmed, or has more bytes
   * @throws FixityError `upload-damaged` if it is final
   */
  async #complete(job: Completing): Promise<boolean> {
    const { large, size, isRepeated } = job;
    const { layout } = this.#parts;
    const isStaged = layout.isStaging(large.key);
    const found = isRepeated && isStaged ? await headObject(this.#parts.context.client, large.key) : null;
    if (found !== null && found.size >= size) return true;
    try {
      return (await large.complete()).isInferred;
    } catch (error) {
      if (isAboutParts(error)) return await this.#completeAgain(job, isStaged);
      if (failedWith(error, 404) && error.code === NO_SUCH_UPLOAD) return await this.#findCompleted(job, error);
      throw error;
    }
  }

  /** Once more, after the server has refused the list of parts. */
  async #completeAgain({ large, pad }: Completing, isStaged: boolean): Promise<true> {
    const strays = await this.#strays(await pad());
    try {
      // at the final key every part counts, so there are none that nobody has named
      await large.complete(isStaged ? strays : []);
      return true;
    } catch (error) {
      throw isAboutParts(error) ? uploadDamaged(error) : error;
    }
  }

  /** Whether an upload that S3 does not know any more has been completed. */
  async #findCompleted({ large, size }: Completing, error: S3Error): Promise<true> {
    const { client } = this.#parts.context;
    for (const pause of LOOK_AGAIN_AFTER_MS) {
      await delay(pause, undefined);
      const found = await headObject(client, large.key);
      if (found !== null && found.size >= size) return true;
    }
    const sent = await large.sent();
    throw (await isGone(client, sent.name)) ? uploadDamaged(error) : error;
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
          throw uploadDamaged();
        }
      }
    }
    return strays;
  }
}
