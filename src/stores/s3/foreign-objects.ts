import { percentEncode } from "../../base/percent-encode.ts";
import type { BlobReader } from "../../core/store.ts";
import { S3Client } from "./api/client.ts";
import { listObjects } from "./api/listing.ts";
import { headObject, type ObjectHead } from "./api/objects.ts";
import type { ResolvedS3Options } from "./options.ts";
import { openObject } from "./s3-reader.ts";
import { checkBucket, toFixityError, withStoreErrors } from "./store-error.ts";

/** An object that other programs have stored. */
export interface ForeignObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** The objects below a prefix of a bucket, whoever has stored them. They are only read. */
export class ForeignObjects implements AsyncDisposable {
  readonly #client: S3Client;
  readonly bucket: string;
  /** Host and path of the server, without the bucket. */
  readonly address: string;
  /** What all their keys begin with. */
  readonly keyPrefix: string;

  constructor(options: ResolvedS3Options) {
    this.#client = new S3Client(options);
    this.bucket = options.bucket;
    this.address = options.endpoint.address;
    this.keyPrefix = options.keyPrefix;
  }

  /** @throws FixityError `store-…` if the bucket cannot be used */
  async check(signal: AbortSignal): Promise<void> {
    await checkBucket(this.#client, this.keyPrefix, signal);
  }

  async *list(signal: AbortSignal): AsyncGenerator<ForeignObject, void, undefined> {
    try {
      for await (const { items } of listObjects(this.#client, this.keyPrefix, { signal })) yield* items;
    } catch (error) {
      throw toFixityError(error);
    }
  }

  /** Opens an object; `null` if it is gone. A reader that has to continue finds the same object or fails. */
  async open(key: string, signal: AbortSignal): Promise<BlobReader | null> {
    return await withStoreErrors(() => openObject(this.#client, encodedKey(key), { signal }));
  }

  /** The facts of an object; `null` if it is gone. */
  async head(key: string, signal: AbortSignal): Promise<ObjectHead | null> {
    return await withStoreErrors(() => headObject(this.#client, encodedKey(key), { signal }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }
}

/** Their keys may have any characters, which those of blobs have not. */
export function encodedKey(key: string): string {
  return key.split("/").map(percentEncode).join("/");
}
