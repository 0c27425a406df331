import type { Payload, S3Client } from "../api/client.ts";
import { type Conditions, mayRefuseCondition } from "../conditions.ts";
import { headObject, putObject } from "../api/objects.ts";
import type { Log } from "../options.ts";

/**
 * Stores whole blobs by one conditional PUT each. The condition saves work and keeps what is there as it is; it is never
 * the proof of anything. The payload's digest, which S3 checks, proves that the bytes are right, and a HEAD of its size that
 * the blob was there before.
 */
export class WholePut {
  readonly #client: S3Client;
  readonly #conditions: Conditions;
  readonly #log: Log;

  constructor(client: S3Client, conditions: Conditions, log: Log) {
    this.#client = client;
    this.#conditions = conditions;
    this.#log = log;
  }

  /**
   * @param signal begins no other attempt once it is aborted
   * @returns whether it was there before, whole
   */
  async put(
    key: string,
    payload: Payload,
    { contentType, signal }: { readonly contentType: string; readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    const conditions = this.#conditions;
    const isConditional = conditions.usesIfAbsent;
    const refusal = isConditional ? await this.#putIfAbsent(key, payload, { contentType, signal }) : null;
    if (isConditional && refusal === null) return false;
    const found = await headObject(this.#client, key, { lastAttempt: signal });
    if (found?.size === payload.length) return true;
    if (found !== null) this.#log("a damaged blob is replaced", new Error(`${key} had ${found.size} bytes`));
    await putObject(this.#client, key, payload, { contentType, ifAbsent: false, lastAttempt: signal });
    if (found === null && refusal !== null) conditions.noteIfAbsentRefused(refusal);
    return false;
  }

  /** @returns `null` where it was stored, or why it was not: the blob is there, or the server means something else */
  async #putIfAbsent(
    key: string,
    payload: Payload,
    { contentType, signal }: { readonly contentType: string; readonly signal: AbortSignal | undefined },
  ) {
    try {
      await putObject(this.#client, key, payload, { contentType, ifAbsent: true, lastAttempt: signal });
      this.#conditions.noteIfAbsentMet();
      return null;
    } catch (error) {
      if (mayRefuseCondition(error)) return error;
      throw error;
    }
  }
}
