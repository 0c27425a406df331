import type { CollectionMark } from "../../core/store.ts";
import { expectTag } from "./api/answers.ts";
import type { S3Client } from "./api/client.ts";
import type { Layout } from "./layout.ts";
import { ageOf, timeOf } from "./api/listing.ts";
import type { Log } from "./options.ts";
import { failedWith } from "./api/s3-error.ts";
import { sha256Hex } from "./api/signer.ts";

const TEXT = Buffer.from("A collection of garbage was complete when this object was last modified.\n");

/** An object whose `Last-Modified`, beside the `Date` of the answer, tells when the last collection was. */
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
    const request = { operation: "HeadObject", method: "HEAD", key: this.#key, signal, patience: "reader" } as const;
    try {
      return await this.#client.call(request, (answer) =>
        ageOf(new Date(answer.headers("last-modified") ?? Number.NaN), timeOf(answer)),
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (!failedWith(error, 404)) this.#log("when the last collection was cannot be read", error);
      return null;
    }
  }

  async set(signal?: AbortSignal): Promise<void> {
    const body = { chunks: [TEXT], length: TEXT.length, digest: sha256Hex([TEXT]) };
    const headers = { "content-type": "text/plain" };
    const request = { operation: "PutObject", method: "PUT", key: this.#key, headers, body, signal } as const;
    try {
      await this.#client.call({ ...request, patience: "reader" }, (answer) => expectTag(request.operation, answer));
    } catch (error) {
      if (signal?.aborted === true) return;
      this.#log("other servers cannot be told of this collection: they collect as well", error);
    }
  }
}
