import type { Digest } from "../../core/digest.ts";
import type {
  BlobReader,
  BlobStat,
  BlobStore,
  Collected,
  CollectionMark,
  OpenOptions,
  StagedBlob,
  StageOptions,
} from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import { OCTET_STREAM } from "../../core/media-type.ts";
import type { PresignedUrl, PresignOptions } from "../../core/presigning.ts";
import type { Diagnosable, DiagnoseOptions, Finding } from "../doctor/finding.ts";
import { openObject } from "./blob-opener.ts";
import { checkBucket } from "./check.ts";
import { type CallOptions, S3Client } from "./api/client.ts";
import { S3CollectionMark } from "./collection-mark.ts";
import { Collector } from "./collector.ts";
import { Conditions } from "./conditions.ts";
import { faultsTold, storeFault } from "./faults.ts";
import { MultipartUpload } from "./send/multipart-upload.ts";
import { Layout } from "./layout.ts";
import { listObjects } from "./api/listing.ts";
import { deleteObject, headObject } from "./api/objects.ts";
import type { ResolvedS3Options } from "./options.ts";
import { type PartLimits, PartPlan } from "./send/part-writer.ts";
import { presignObject } from "./presigned-object.ts";
import { ABSENCE_TRUSTED_MS, Publisher } from "./publish/publisher.ts";
import { ServerCopier } from "./publish/server-copy.ts";
import { S3StagedBlob } from "./send/s3-staged-blob.ts";
import { ADMISSION_BYTES, BufferPool } from "./buffers/buffer-pool.ts";
import { Records } from "./uploads/records.ts";
import { S3Uploads } from "./uploads/s3-uploads.ts";
import { Tails } from "./uploads/tails.ts";

/** Blobs as objects in a bucket. Any number of stores, on any number of machines, may share it. */
export class S3Store implements BlobStore, Diagnosable {
  readonly kind = "s3";
  readonly description: string;
  readonly uploads: UploadStore;
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
    this.description = `S3 bucket ${bucket}${keyPrefix === "" ? "" : `, ${keyPrefix}`} at ${endpoint.place}`;
    this.#options = options;
    this.#client = client;
    this.#layout = layout;
    this.#pool = new BufferPool(options.memory);
    const copier = new ServerCopier(client, options);
    this.#publisher = new Publisher(client, layout, { conditions, copier, log });
    const records = new Records(client, layout, conditions);
    this.#collector = new Collector({ copier, client, layout, records, abandonedAfter, log });
    this.collectionMark = new S3CollectionMark(client, layout, log);
    this.uploads = new S3Uploads(
      {
        client,
        options,
        layout,
        pool: this.#pool,
        publisher: this.#publisher,
        records,
        tails: new Tails(client, layout, log),
      },
      this.#partLimits,
    );
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await checkBucket(this.#client, this.#layout.blobs, signal);
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#look(digest, { signal, patience: "reader" });
  }

  /** S3 shows no object that is not durable. Part of an upload, so that it waits for S3 as long as one. */
  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#look(digest, { signal });
  }

  async #look(digest: Digest, options: CallOptions): Promise<BlobStat | null> {
    options.signal?.throwIfAborted();
    return faultsTold(async () => {
      const found = await headObject(this.#client, this.#layout.blob(digest), options);
      return found && { digest, size: found.size, modified: found.modified };
    });
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<BlobReader | null> {
    options.signal?.throwIfAborted();
    return faultsTold(() => openObject(this.#client, this.#layout.blob(digest), options));
  }

  async presign(digest: Digest, options: PresignOptions): Promise<PresignedUrl> {
    return faultsTold(() => presignObject(this.#client, this.#layout.blob(digest), options));
  }

  async *list(signal?: AbortSignal): AsyncGenerator<BlobStat, void, undefined> {
    signal?.throwIfAborted();
    try {
      for await (const { items } of listObjects(this.#client, this.#layout.blobs, signal)) {
        for (const { key, size, modified } of items) {
          signal?.throwIfAborted();
          const digest = this.#layout.digestOf(key);
          if (digest !== null) yield { digest, size, modified };
        }
      }
    } catch (error) {
      throw storeFault(error);
    }
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return faultsTold(async () => {
      const key = this.#layout.blob(digest);
      if ((await headObject(this.#client, key, { signal, patience: "reader" })) === null) return false;
      await deleteObject(this.#client, key, { signal, patience: "reader" });
      return true;
    });
  }

  async stage(options: StageOptions = {}): Promise<StagedBlob> {
    const { digest, length, mediaType = OCTET_STREAM, isKnownAbsent = false, signal } = options;
    signal?.throwIfAborted();
    const atMost = length ?? options.atMost;
    const plan = new PartPlan(this.#partLimits, length);
    // Made only when needed: most files are small, and its random bytes cost a twentieth of a small upload.
    const createUpload = () => {
      const key = digest === undefined ? this.#layout.newStaging() : this.#layout.blob(digest);
      return new MultipartUpload(this.#client, { ...this.#options, key, contentType: mediaType });
    };
    const staged = new S3StagedBlob({
      publisher: this.#publisher,
      admission: await this.#pool.admit(atMost, signal),
      plan,
      atMost,
      createUpload,
      contentType: mediaType,
      absentUntil: isKnownAbsent ? performance.now() + ABSENCE_TRUSTED_MS : 0,
      signal,
    });
    if (atMost !== undefined && atMost > ADMISSION_BYTES) await staged.reserve();
    return staged;
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    signal?.throwIfAborted();
    return faultsTold(() => this.#collector.collect(signal));
  }

  /** Tries out what is needed of the bucket, with small objects that are thrown away. */
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
