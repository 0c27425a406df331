/** An empty key prefix in the server's bucket, and access to its objects that bypasses the store. */
import { randomBytes } from "node:crypto";
import type { BlobStore } from "../../src/core/store.ts";
import { S3Client } from "../../src/stores/s3/api/client.ts";
import { Conditions } from "../../src/stores/s3/conditions.ts";
import { Layout } from "../../src/stores/s3/layout.ts";
import {
  type ListedObject,
  type ListedMultipartUpload,
  listObjects,
  listMultipartUploads,
} from "../../src/stores/s3/api/listing.ts";
import { abortMultipartUpload, createMultipartUpload, uploadPart } from "../../src/stores/s3/api/multipart.ts";
import { deleteObject, putObject } from "../../src/stores/s3/api/objects.ts";
import { type ResolvedS3Options, resolveS3Options, type S3StoreOptions } from "../../src/stores/s3/options.ts";
import { S3Store } from "../../src/stores/s3/s3-store.ts";
import { payloadOf } from "../../src/stores/s3/api/signer.ts";
import { Records } from "../../src/stores/s3/uploads/records.ts";
import type { Gateway } from "./gateway.ts";

const MIB = 1024 * 1024;

/** Options of an S3 store that are not public. */
export type InnerOptions = Partial<Pick<ResolvedS3Options, "abandonedAfter" | "idleLimit" | "copyLimits" | "memory">>;

/** An unused key prefix in the bucket. */
export class S3Place implements AsyncDisposable {
  readonly gateway: Gateway;
  readonly layout: Layout;
  /** A client of the server that bypasses the store. */
  readonly client: S3Client;
  /** The prefix of all keys, without the slash. */
  readonly prefix: string = `test-${randomBytes(8).toString("hex")}`;

  constructor(gateway: Gateway) {
    this.gateway = gateway;
    const options = this.options();
    this.layout = new Layout(options.keyPrefix);
    this.client = new S3Client(options);
  }

  /** Opens a store on the place. Parts have the smallest size, so that small blobs take all routes. */
  store(options: Partial<S3StoreOptions> = {}, inner: InnerOptions = {}): BlobStore {
    return new S3Store({ ...this.options(options), ...inner });
  }

  options(options: Partial<S3StoreOptions> = {}): ResolvedS3Options {
    const { bucket, region, endpoint, accessKey, secretKey } = this.gateway;
    const given = { bucket, region, endpoint, accessKey, secretKey, keyPrefix: this.prefix };
    return resolveS3Options({ ...given, partSize: 5 * MIB, log: () => null, ...options });
  }

  /** All objects in the place. */
  async objects(): Promise<ListedObject[]> {
    const found: ListedObject[] = [];
    const prefix = this.layout.blobs.slice(0, -"blobs/".length);
    for await (const { items } of listObjects(this.client, prefix)) found.push(...items);
    return found;
  }

  /** All multipart uploads in the place. */
  async uploads(): Promise<ListedMultipartUpload[]> {
    const found: ListedMultipartUpload[] = [];
    const prefix = this.layout.blobs.slice(0, -"blobs/".length);
    for await (const { items } of listMultipartUploads(this.client, prefix)) found.push(...items);
    return found;
  }

  /** The number of incomplete uploads in any form, except for resumable ones. */
  async leftovers(): Promise<number> {
    const { client, layout } = this;
    const records = new Records(client, layout, new Conditions(client, layout, () => null));
    const names = await records.names();
    const isKept = (key: string) =>
      key.startsWith(layout.blobs) ||
      key.startsWith(layout.documents) ||
      key === layout.collected ||
      layout.uploadIdOf(key) !== null ||
      names.has(key);
    const objects = (await this.objects()).filter(({ key }) => !isKept(key));
    const uploads = (await this.uploads()).filter(({ uploadId }) => !names.has(uploadId));
    return objects.length + uploads.length;
  }

  /** Stores any bytes under a key. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    const payload = payloadOf(bytes);
    await putObject(this.client, key, payload, { contentType: "application/octet-stream", ifAbsent: false });
  }

  /** Removes the object under a key. */
  async remove(key: string): Promise<void> {
    await deleteObject(this.client, key);
  }

  /** Leaves a multipart upload behind, as a process that dies during an upload does. */
  async abandon(key: string = this.layout.newStaging()): Promise<void> {
    await this.beginUpload(key, [Buffer.alloc(1000)]);
  }

  /** Begins a multipart upload that no store knows. */
  async beginUpload(key: string, parts: readonly Uint8Array[]): Promise<void> {
    const upload = await createMultipartUpload(this.client, key, { contentType: "application/octet-stream" });
    for (const [index, bytes] of parts.entries()) {
      const payload = payloadOf(bytes);
      await uploadPart(this.client, upload, index + 1, { payload, signal: new AbortController().signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const upload of await this.uploads()) await abortMultipartUpload(this.client, upload);
    for (const { key } of await this.objects()) await deleteObject(this.client, key);
    await this.client.destroy();
  }
}
