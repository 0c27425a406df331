import { createHash } from "node:crypto";
import { runAll } from "../../base/run-all.ts";
import type { Collected, CollectionMark } from "../../core/store.ts";
import type { S3Client } from "./api/client.ts";
import type { Log } from "./api/client-options.ts";
import {
  ageOf,
  type ListedMultipartUpload,
  listMultipartUploads,
  listObjects,
  listParts,
  serverTime,
} from "./api/listing.ts";
import { abortMultipartUpload } from "./api/multipart.ts";
import { deleteObject, headObject } from "./api/objects.ts";
import { expectTag, failedWith } from "./api/s3-error.ts";
import { payloadOf } from "./api/signer.ts";
import { collectTombstone, isTombstoneSize } from "./documents.ts";
import type { Layout } from "./layout.ts";
import type { ServerCopier } from "./publish/server-copy.ts";
import { isInUse } from "./send/multipart-upload.ts";
import type { Records } from "./uploads/records.ts";

const NONE_COLLECTED: Collected = { staged: 0, bytes: 0 };

/** What a collector needs. */
export interface CollectorOptions {
  readonly client: S3Client;
  readonly copier: ServerCopier;
  readonly layout: Layout;
  readonly records: Records;
  /** Milliseconds without activity, by the server's clock, after which something is abandoned. */
  readonly abandonedAfter: number;
  readonly log: Log;
}

/** What S3 reports about a multipart upload. */
interface MultipartState {
  /** When it was begun, or its last part arrived. */
  readonly lastActivity: Date;
  readonly bytes: number;
  readonly partCount: number;
  /** The entity tag that an object of these parts has. */
  readonly etag: string;
}

/** One walk through the bucket. */
interface Walk {
  readonly signal: AbortSignal | undefined;
  /** Whether the record of an upload names a key, or the id of a multipart upload. */
  readonly isInRecord: (name: string) => Promise<boolean>;
}

/**
 * Removes what dead processes left behind: multipart uploads and staged objects without activity
 * for a long time. It cannot see whether their owner is alive, but a living owner completes nothing
 * that was inactive for half as long (multipart-upload.ts), so no abort meets a completion.
 * Whatever the record of an upload names stays, however old it is. Tombstones of documents are
 * removed after the same time.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #client: S3Client;
  readonly #layout: Layout;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#layout = options.layout;
  }

  async collect(signal: AbortSignal | undefined): Promise<Collected> {
    const { records } = this.#options;
    let names: Promise<ReadonlySet<string>> | null = null;
    const isInRecord = async (name: string) => {
      names ??= records.names(signal);
      return (await names).has(name);
    };
    const walk = { signal, isInRecord };
    const tasks = [
      () => this.#collectMultipartUploads(this.#layout.staging, walk),
      () => this.#collectMultipartUploads(this.#layout.blobs, walk),
      () => this.#collectObjects(this.#layout.staging, walk),
      () => this.#collectObjects(this.#layout.uploads, walk),
      () => this.#collectTombstones(signal),
    ];
    return (await runAll(tasks, signal)).reduce(sum, NONE_COLLECTED);
  }

  async #collectMultipartUploads(prefix: string, { signal, isInRecord }: Walk): Promise<Collected> {
    let total = NONE_COLLECTED;
    for await (const { items, now } of listMultipartUploads(this.#client, prefix, { signal })) {
      for (const upload of items) {
        signal?.throwIfAborted();
        const isAlive = isInUse(upload.uploadId) || isInUse(upload.key);
        if (!this.#isOwnKey(upload.key) || isAlive || !this.#isAbandoned(upload.initiated, now)) continue;
        if (await isInRecord(upload.uploadId)) continue;
        total = sum(total, await this.#orNothing(upload.key, () => this.#collectMultipartUpload(upload, now)));
      }
    }
    return total;
  }

  async #collectMultipartUpload(upload: ListedMultipartUpload, now: Date | null): Promise<Collected> {
    const state = await this.#stateOf(upload);
    if (state === null || !this.#isAbandoned(state.lastActivity, now)) return NONE_COLLECTED;
    const object = await headObject(this.#client, upload.key);
    // A server that died during a completion may have made the object and kept the multipart upload
    // (Ceph). The object then shares the parts, and an abort would remove its bytes. An object of
    // the same content that was made by another upload looks the same from here, so both are made
    // anew.
    if (object !== null && object.etag === state.etag && object.modified >= floorToSecond(state.lastActivity)) {
      await this.#options.copier.remake(upload.key, object, state.partCount);
    }
    const isRemoved = await abortMultipartUpload(this.#client, upload);
    return isRemoved ? { staged: 1, bytes: state.bytes } : NONE_COLLECTED;
  }

  /** Returns `null` if the multipart upload is gone. */
  async #stateOf(upload: ListedMultipartUpload): Promise<MultipartState | null> {
    let lastActivity = upload.initiated;
    let bytes = 0;
    let partCount = 0;
    const hash = createHash("md5");
    try {
      for await (const { items } of listParts(this.#client, upload)) {
        for (const part of items) {
          if (part.modified > lastActivity) lastActivity = part.modified;
          bytes += part.size;
          partCount += 1;
          hash.update(Buffer.from(part.etag.replaceAll('"', ""), "hex"));
        }
      }
    } catch (error) {
      if (failedWith(error, 404)) return null;
      throw error;
    }
    return { lastActivity, bytes, partCount, etag: `"${hash.digest("hex")}-${partCount}"` };
  }

  async #collectObjects(prefix: string, { signal, isInRecord }: Walk): Promise<Collected> {
    let total = NONE_COLLECTED;
    for await (const { items, now } of listObjects(this.#client, prefix, { signal })) {
      for (const { key, size, modified } of items) {
        signal?.throwIfAborted();
        const owner = this.#layout.isStaging(key) ? key : this.#layout.recordOfTail(key);
        if (owner === null || isInUse(owner) || !this.#isAbandoned(modified, now) || (await isInRecord(key))) continue;
        const remove = async () => {
          await deleteObject(this.#client, key);
          return { staged: 1, bytes: size };
        };
        total = sum(total, await this.#orNothing(key, remove));
      }
    }
    return total;
  }

  /** Tombstones of documents are not half-written uploads, so they are not counted. */
  async #collectTombstones(signal: AbortSignal | undefined): Promise<Collected> {
    for await (const { items, now } of listObjects(this.#client, this.#layout.documents, { signal })) {
      for (const { key, size, modified, etag } of items) {
        signal?.throwIfAborted();
        if (this.#layout.documentNameOf(key) === null || !isTombstoneSize(size)) continue;
        if (!this.#isAbandoned(modified, now)) continue;
        await this.#orNothing(key, async () => {
          await collectTombstone(this.#client, key, etag);
          return NONE_COLLECTED;
        });
      }
    }
    return NONE_COLLECTED;
  }

  #isOwnKey(key: string): boolean {
    return this.#layout.isStaging(key) || this.#layout.digestOf(key) !== null;
  }

  #isAbandoned(lastActivity: Date, now: Date | null): boolean {
    return (now?.getTime() ?? Date.now()) - lastActivity.getTime() >= this.#options.abandonedAfter;
  }

  /** Logs a failure, which must not prevent the removal of the rest. */
  async #orNothing(key: string, work: () => Promise<Collected>): Promise<Collected> {
    try {
      return await work();
    } catch (error) {
      this.#options.log(`what was abandoned under the key ${key} could not be removed`, error);
      return NONE_COLLECTED;
    }
  }
}

function floorToSecond(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

function sum(a: Collected, b: Collected): Collected {
  return { staged: a.staged + b.staged, bytes: a.bytes + b.bytes };
}

const MARK_TEXT = "A collection of garbage was complete when this object was last modified.\n";

/**
 * An object whose `Last-Modified`, compared with the `Date` of the response, shows when the last
 * collection ended.
 */
export class S3CollectionMark implements CollectionMark {
  readonly #client: S3Client;
  readonly #key: string;
  readonly #log: Log;

  constructor(client: S3Client, { collected }: Layout, log: Log) {
    this.#client = client;
    this.#key = collected;
    this.#log = log;
  }

  async age(signal?: AbortSignal): Promise<number | null> {
    const request = { operation: "HeadObject", method: "HEAD", key: this.#key, signal, retryPolicy: "short" } as const;
    try {
      return await this.#client.call(request, (response) =>
        ageOf(new Date(response.header("last-modified") ?? Number.NaN), serverTime(response)),
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (!failedWith(error, 404)) this.#log("the time of the last collection could not be read", error);
      return null;
    }
  }

  async set(signal?: AbortSignal): Promise<void> {
    const operation = "PutObject";
    const headers = { "content-type": "text/plain" };
    const request = { operation, method: "PUT", key: this.#key, headers, body: payloadOf(MARK_TEXT), signal } as const;
    try {
      await this.#client.call({ ...request, retryPolicy: "short" }, (response) => expectTag(operation, response));
    } catch (error) {
      if (signal?.aborted === true) return;
      this.#log("this collection could not be noted in the bucket, so other servers will collect as well", error);
    }
  }
}
