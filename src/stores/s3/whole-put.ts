import type { Payload, S3Client } from "./client.ts";
import { headObject, putObject } from "./objects.ts";
import type { Log } from "./options.ts";
import { failedWith } from "./s3-error.ts";

/** Statuses by which servers say that they do not know conditions on a PUT (Backblaze B2: 501). */
const UNKNOWN_CONDITION = [400, 501] as const;

/**
 * Stores whole blobs by one conditional PUT each. The condition saves work and keeps what is there as it is; it is never
 * the proof of anything. That the bytes are right is proved by the payload's digest, which S3 checks, and that the blob was
 * there before by a HEAD of its size.
 */
export class WholePut {
  readonly #client: S3Client;
  readonly #log: Log;
  /** The server has refused a PUT for its condition alone. */
  #isUnconditional = false;

  constructor(client: S3Client, log: Log) {
    this.#client = client;
    this.#log = log;
  }

  /** @returns whether it was there before, whole */
  async put(key: string, payload: Payload, contentType: string): Promise<boolean> {
    const refused = this.#isUnconditional || !(await this.#putIfAbsent(key, payload, contentType));
    if (!refused) return false;
    const found = await headObject(this.#client, key);
    if (found?.size === payload.length) return true;
    if (found !== null) this.#log("a damaged blob is replaced", new Error(`${key} had ${found.size} bytes`));
    await putObject(this.#client, key, payload, { contentType, ifAbsent: false });
    return false;
  }

  /** @returns `false` where something keeps the condition from being met: the blob, or whatever the server means by it */
  async #putIfAbsent(key: string, payload: Payload, contentType: string): Promise<boolean> {
    try {
      await putObject(this.#client, key, payload, { contentType, ifAbsent: true });
      return true;
    } catch (error) {
      if (failedWith(error, 412)) return false;
      if (!failedWith(error, ...UNKNOWN_CONDITION) || (error.status === 400 && error.code !== "NotImplemented"))
        throw error;
      this.#isUnconditional = true;
      return false;
    }
  }
}
