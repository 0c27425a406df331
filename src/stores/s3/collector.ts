import { createHash } from "node:crypto";
import type { Collected } from "../../core/store.ts";
import type { S3Client } from "./api/client.ts";
import type { Layout } from "./layout.ts";
import { type ListedUpload, listObjects, listParts, listUploads } from "./api/listing.ts";
import { isInUse } from "./send/multipart-upload.ts";
import { abortUpload } from "./api/multipart.ts";
import { deleteObject, headObject } from "./api/objects.ts";
import type { Log } from "./options.ts";
import { failedWith } from "./api/s3-error.ts";
import type { ServerCopier } from "./publish/server-copy.ts";
import type { Records } from "./uploads/records.ts";

const NOTHING: Collected = { staged: 0, bytes: 0 };

/** What a collector works with. */
export interface CollectorParts {
  readonly copier: ServerCopier;
  readonly client: S3Client;
  readonly layout: Layout;
  readonly records: Records;
  /** Milliseconds without a sign of life, by the server's clock. */
  readonly abandonedAfter: number;
  readonly log: Log;
}

/** What of an upload S3 knows. */
interface Remains {
  /** The last thing that happened to it. */
  readonly lastSign: Date;
  readonly bytes: number;
  /** How many parts there are. */
  readonly count: number;
  /** The entity tag that an object made of these parts would have. */
  readonly etag: string;
}

/** One walk through the bucket. */
interface Round {
  readonly signal: AbortSignal | undefined;
  /** Whether the record of an upload names it: a key, or the id of a multipart upload. */
  readonly isNamed: (name: string) => Promise<boolean>;
}

/**
 * Removes what dead processes have left: multipart uploads and staged objects that have been silent for long. Whether their
 * owner lives cannot be seen from here; but a living one completes nothing that was silent for half as long
 * (multipart-upload.ts), so that no abort can meet a completion. What the record of an upload names stays, however silent.
 */
export class Collector {
  readonly #parts: CollectorParts;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  async collect(signal: AbortSignal | undefined): Promise<Collected> {
    const { layout, records } = this.#parts;
    let names: Promise<ReadonlySet<string>> | null = null;
    const isNamed = async (name: string) => {
      names ??= records.names(signal);
      return (await names).has(name);
    };
    const round = { signal, isNamed };
    const collected = [
      await this.#collectUploads(layout.staging, round),
      await this.#collectUploads(layout.blobs, round),
      await this.#collectObjects(layout.staging, round),
      await this.#collectObjects(layout.uploads, round),
    ];
    return collected.reduce(sum, NOTHING);
  }

  async #collectUploads(prefix: string, { signal, isNamed }: Round): Promise<Collected> {
    let total = NOTHING;
    for await (const { items, now } of listUploads(this.#parts.client, prefix, signal)) {
      for (const upload of items) {
        signal?.throwIfAborted();
        const isAlive = isInUse(upload.uploadId) || isInUse(upload.key);
        if (!this.#isOurs(upload.key) || isAlive || !this.#isOld(upload.initiated, now)) continue;
        if (!(await isNamed(upload.uploadId))) {
          total = sum(total, await this.#unlessItResists(() => this.#collectUpload(upload, now)));
        }
      }
    }
    return total;
  }

  async #collectUpload(upload: ListedUpload, now: Date | null): Promise<Collected> {
    const { client, copier } = this.#parts;
    const remains = await this.#remainsOf(upload);
    if (remains === null || !this.#isOld(remains.lastSign, now)) return NOTHING;
    const object = await headObject(client, upload.key);
    // A server that died in the middle of a completion may have made the object and kept the upload (Ceph). The object
    // then lives on the parts, and an abort would take them from it. From outside that looks like an upload that was left
    // before its completion and made again with another one.
    if (object !== null && object.etag === remains.etag && object.modified >= floorToSecond(remains.lastSign)) {
      await copier.remake(upload.key, object, remains.count);
    }
    const isRemoved = await abortUpload(client, upload);
    return isRemoved ? { staged: 1, bytes: remains.bytes } : NOTHING;
  }

  /** `null` where the upload is gone. */
  async #remainsOf(upload: ListedUpload): Promise<Remains | null> {
    let lastSign = upload.initiated;
    let bytes = 0;
    let count = 0;
    const hash = createHash("md5");
    try {
      for await (const { items } of listParts(this.#parts.client, upload)) {
        for (const part of items) {
          if (part.modified > lastSign) lastSign = part.modified;
          bytes += part.size;
          count += 1;
          hash.update(Buffer.from(part.etag.replaceAll('"', ""), "hex"));
        }
      }
    } catch (error) {
      if (failedWith(error, 404)) return null;
      throw error;
    }
    return { lastSign, bytes, count, etag: `"${hash.digest("hex")}-${count}"` };
  }

  async #collectObjects(prefix: string, { signal, isNamed }: Round): Promise<Collected> {
    const { client, layout } = this.#parts;
    let total = NOTHING;
    for await (const { items, now } of listObjects(client, prefix, signal)) {
      for (const { key, size, modified } of items) {
        signal?.throwIfAborted();
        const owner = layout.isStaging(key) ? key : layout.recordOfTail(key);
        if (owner === null || isInUse(owner) || !this.#isOld(modified, now) || (await isNamed(key))) continue;
        total = sum(
          total,
          await this.#unlessItResists(async () => {
            await deleteObject(client, key);
            return { staged: 1, bytes: size };
          }),
        );
      }
    }
    return total;
  }

  #isOurs(key: string): boolean {
    return this.#parts.layout.isStaging(key) || this.#parts.layout.digestOf(key) !== null;
  }

  #isOld(time: Date, now: Date | null): boolean {
    return (now?.getTime() ?? Date.now()) - time.getTime() >= this.#parts.abandonedAfter;
  }

  /** One that resists must not keep the others from being removed. */
  async #unlessItResists(work: () => Promise<Collected>): Promise<Collected> {
    try {
      return await work();
    } catch (error) {
      this.#parts.log("an abandoned upload could not be removed", error);
      return NOTHING;
    }
  }
}

function floorToSecond(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

function sum(a: Collected, b: Collected): Collected {
  return { staged: a.staged + b.staged, bytes: a.bytes + b.bytes };
}
