import type { Digest } from "../../core/digest.ts";
import type { DocumentStore } from "../../core/document-store.ts";
import { OCTET_STREAM } from "../../core/media-type.ts";
import type { PresignedUrl, PresignOptions } from "../../core/presigning.ts";
import type { StagedBlob, StageOptions } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import type { BlobReader, BlobStore, Collected, CollectionMark, OpenOptions, StoreUsage } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import type { Diagnosable, DiagnoseOptions, Finding } from "../doctor/finding.ts";
import { type CallOptions, S3Client } from "./api/client.ts";
import { listObjects } from "./api/listing.ts";
import { deleteObject, headObject } from "./api/objects.ts";
import { ADMISSION_BYTES, BufferPool } from "./buffers/buffer-pool.ts";
import { Collector, S3CollectionMark } from "./collector.ts";
import { Conditions } from "./conditions.ts";
import { S3Documents } from "./documents.ts";
import type { ForeignObjects } from "./foreign-objects.ts";
import { Layout } from "./layout.ts";
import type { ResolvedS3Options } from "./options.ts";
import { ABSENCE_TRUSTED_MS, Publisher, statOf } from "./publish/publisher.ts";
import { ForeignCopies, type CopiesForeignObjects } from "./publish/foreign-copies.ts";
import { ServerCopier } from "./publish/server-copy.ts";
import { openObject } from "./s3-reader.ts";
import { type PartLimits, PartPlan } from "./send/part-writer.ts";
import { S3StagedBlob } from "./send/s3-staged-blob.ts";
import { checkBucket, toFixityError, withStoreErrors } from "./store-error.ts";
import { Records } from "./uploads/records.ts";
import { S3Uploads } from "./uploads/s3-uploads.ts";

/**
 * Blobs as objects in a bucket. Any number of stores, on any number of machines, may share it; the
 * bucket is all that they share.
 *
 * ## Objects
 *
 * `layout.ts` draws the keys. In short: `blobs/<digest>` are the blobs, `tmp/…` is content whose
 * digest is not known yet, `uploads/…` are the records and tails of resumable uploads,
 * `documents/…` are documents and their tombstones (documents.ts). Multipart
 * uploads in progress exist at keys below `blobs/` and `tmp/`; S3 does not show them as objects.
 *
 * ## Upload paths
 *
 *     stage() ─> send/s3-staged-blob ─> send/part-writer ─> send/multipart-upload ─┐
 *                                                                                  ├─> publish/publisher ─> blobs/<digest>
 *     uploads ─> uploads/s3-held-upload ─> uploads/upload-writer ─> (the same two) ┘
 *
 * - Content that fits one part is held in memory and stored by one conditional PUT.
 * - Larger content with an announced digest is a multipart upload at the blob's key, completed only
 *   if the digest holds.
 * - Larger content without one is a multipart upload at a staging key, which the server then
 *   copies.
 * - An object of another bucket at the same server is copied by the server, to a staging key and, once
 *   that copy was read and hashed, to the blob's key (`publish/foreign-copies.ts`).
 * - Resumable uploads take the same paths; their state is in a record, and their last bytes in a
 *   tail.
 *
 * `buffers/` bounds the memory of all of them, and makes senders wait. `api/` speaks the protocol
 * and knows no blobs.
 *
 * ## Who may delete
 *
 * - A multipart upload is aborted by its `MultipartUpload`, only while no completion may be
 *   running, and by the collector, only after a day without a sign of life and if no record names
 *   it. Its process completes nothing that has been idle for half a day, so the two never meet. On
 *   Ceph an abort that meets a completion loses the bytes.
 * - A staged object is removed by its publisher after the copy was confirmed, or by the collector.
 * - A tail is removed by the holder that has replaced it in the record, or by the collector.
 * - A record is removed when the engine removes the upload. The record names nothing by then.
 * - A document is removed when the service removes it, a tombstone by the collector a day later.
 * - A blob is removed by {@link remove} alone.
 *
 * ## After a crash
 *
 * A blob is whole or absent, because S3 shows an object only once it is complete. What remains
 * besides is a multipart upload, a staged object or a tail that no record names: the collector
 * removes them a day later. A resumable upload continues from its record, on any instance.
 */
export class S3Store implements BlobStore, Diagnosable, CopiesForeignObjects {
  readonly kind = "s3";
  readonly description: string;
  readonly uploads: UploadStore;
  readonly documents: DocumentStore;
  readonly collectionMark: CollectionMark;
  readonly #options: ResolvedS3Options;
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #pool: BufferPool;
  readonly #publisher: Publisher;
  readonly #collector: Collector;

  constructor(options: ResolvedS3Options) {
    const { bucket, endpoint, keyPrefix, log, abandonedAfter } = options;
    const client = new S3Client(options);
    const layout = new Layout(keyPrefix);
    const conditions = new Conditions(client, layout, log);
    const records = new Records(client, layout, conditions);
    const copier = new ServerCopier(client, options);
    const pool = new BufferPool(options.memory);
    const publisher = new Publisher(client, layout, { conditions, copier, log });
    this.description = `S3 bucket ${bucket}${keyPrefix === "" ? "" : `, ${keyPrefix}`} at ${endpoint.address}`;
    this.#options = options;
    this.#client = client;
    this.#layout = layout;
    this.#pool = pool;
    this.#publisher = publisher;
    this.#collector = new Collector({ copier, client, layout, records, abandonedAfter, log });
    this.documents = new S3Documents(client, layout, conditions);
    this.collectionMark = new S3CollectionMark(client, layout, log);
    this.uploads = new S3Uploads({ client, layout, pool, publisher, records, options, limits: this.#partLimits });
  }

  usage(): StoreUsage {
    return { buffers: this.#pool.usage };
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await checkBucket(this.#client, this.#layout.blobs, signal);
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#look(digest, { signal, retryPolicy: "short" });
  }

  /**
   * S3 shows no object that is not durable. The call is part of an upload, so it is retried for as
   * long as one.
   */
  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#look(digest, { signal });
  }

  async #look(digest: Digest, options: CallOptions): Promise<BlobStat | null> {
    options.signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const found = await headObject(this.#client, this.#layout.blob(digest), options);
      return found && statOf(digest, found);
    });
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<BlobReader | null> {
    options.signal?.throwIfAborted();
    return withStoreErrors(() => openObject(this.#client, this.#layout.blob(digest), options));
  }

  /**
   * The signature covers `responseFields` ("GetObject" in the S3 API reference, `response-…`
   * parameters).
   */
  async presign(digest: Digest, { lifetime, responseFields }: PresignOptions): Promise<PresignedUrl> {
    const { contentType, contentDisposition, cacheControl } = responseFields;
    const key = this.#layout.blob(digest);
    const query = {
      "response-content-type": contentType,
      ...(contentDisposition !== undefined && { "response-content-disposition": contentDisposition }),
      ...(cacheControl !== undefined && { "response-cache-control": cacheControl }),
    };
    return withStoreErrors(() => this.#client.presign({ operation: "GetObject", method: "GET", key, query }, lifetime));
  }

  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    return this.#list(this.#layout.blobs, signal);
  }

  listPrefix(prefix: string, signal?: AbortSignal): AsyncIterable<BlobStat> {
    return this.#list(this.#layout.blobs + prefix, signal);
  }

  async *#list(keyPrefix: string, signal: AbortSignal | undefined): AsyncGenerator<BlobStat, void, undefined> {
    signal?.throwIfAborted();
    try {
      for await (const { items } of listObjects(this.#client, keyPrefix, { signal })) {
        for (const { key, size, modified } of items) {
          signal?.throwIfAborted();
          const digest = this.#layout.digestOf(key);
          if (digest !== null) yield { digest, size, modified };
        }
      }
    } catch (error) {
      throw toFixityError(error);
    }
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return withStoreErrors(async () => {
      const key = this.#layout.blob(digest);
      if ((await headObject(this.#client, key, { signal, retryPolicy: "short" })) === null) return false;
      await deleteObject(this.#client, key, { signal, retryPolicy: "short" });
      return true;
    });
  }

  async stage(options: StageOptions = {}): Promise<StagedBlob> {
    const { digest, length, mediaType = OCTET_STREAM, isKnownAbsent = false, signal } = options;
    signal?.throwIfAborted();
    const atMost = length ?? options.atMost;
    const plan = new PartPlan(this.#partLimits, length);
    const absentUntil = isKnownAbsent ? performance.now() + ABSENCE_TRUSTED_MS : 0;
    const staged = new S3StagedBlob({
      client: this.#client,
      layout: this.#layout,
      settings: this.#options,
      publisher: this.#publisher,
      admission: await this.#pool.admit(atMost, signal),
      plan,
      atMost,
      digest,
      contentType: mediaType,
      absentUntil,
      signal,
    });
    if (atMost !== undefined && atMost > ADMISSION_BYTES) await staged.reserve();
    return staged;
  }

  copiesOf(source: ForeignObjects): ForeignCopies | null {
    if (source.address !== this.#options.endpoint.address) return null;
    return new ForeignCopies(source, this.#publisher);
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return withStoreErrors(() => this.#collector.collect(signal));
  }

  /** Probes what fixity needs from the bucket, with small objects that are removed afterwards. */
  async *diagnose(options: DiagnoseOptions = {}): AsyncGenerator<Finding, void, undefined> {
    const { diagnoseBucket } = await import("./doctor/diagnose.ts");
    yield* diagnoseBucket(this.#options, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  get #partLimits(): PartLimits {
    const { partSize, fixedPartSize, maxParts } = this.#options;
    return { partSize, fixedPartSize, maxParts, largestPart: this.#pool.maxBufferBytes };
  }
}
