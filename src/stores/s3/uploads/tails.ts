import { delay } from "../../../base/abort-race.ts";
import { createHash } from "node:crypto";
import { FixityError } from "../../../core/errors.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import { openObject } from "../blob-opener.ts";
import { digestOfChunks } from "../api/chunk-digest.ts";
import type { S3Client } from "../api/client.ts";
import type { Layout } from "../layout.ts";
import { listObjects } from "../api/listing.ts";
import { deleteObject, putObject } from "../api/objects.ts";
import type { Log } from "../options.ts";
import { LOOK_AGAIN_AFTER_MS } from "../publish/publisher.ts";
import type { Tail } from "./upload-state.ts";

/** Bytes that S3 has the time of an answer for (`timeouts.answer`): as many as any answer that is read as a whole has. */
const DEADLINE_UNIT_BYTES = 8 * 1024 * 1024;

/** Takes bytes, and returns a promise where it has as much as it can hold. */
export type Sink = (bytes: Uint8Array) => Promise<void> | void;

/**
 * The last bytes of uploads, which no part can be made of yet. Each has a key of its own and is never replaced, so that the
 * one that a record names stays what it is until another one is named.
 */
export class Tails {
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #log: Log;

  constructor(client: S3Client, layout: Layout, log: Log) {
    this.#client = client;
    this.#layout = layout;
    this.#log = log;
  }

  async put(id: UploadId, chunks: readonly Uint8Array[], size: number): Promise<Tail> {
    const key = this.#layout.newTail(id);
    const digest = await digestOfChunks(chunks);
    const payload = { chunks, length: size, digest };
    await putObject(this.#client, key, payload, { contentType: "application/octet-stream", ifAbsent: false });
    return { key, size, digest };
  }

  /**
   * Gives all bytes of a tail to a sink.
   *
   * @throws FixityError `upload-damaged` if they are not those that were saved, and still are not when they are read once
   *   more; `store-unavailable` if only the first read has failed
   */
  async load(tail: Tail, sink: Sink, signal: AbortSignal): Promise<void> {
    if (await this.#read(tail, sink, signal)) return;
    for (const pause of LOOK_AGAIN_AFTER_MS) {
      await delay(pause, signal);
      if (await this.#read(tail, () => undefined, signal)) {
        throw new FixityError("store-unavailable", "The store did not return what was saved. Try again soon.");
      }
    }
    throw uploadDamaged();
  }

  /**
   * Reads the object from its beginning to its end. It has one deadline for all of it, counted while this waits for S3 and
   * not while the sink waits for room: bytes that trickle in do not put it off.
   *
   * @returns whether the object is what was saved
   */
  async #read(tail: Tail, sink: Sink, signal: AbortSignal): Promise<boolean> {
    const late = new AbortController();
    let left = this.#client.answerTime * Math.ceil(Math.max(1, tail.size / DEADLINE_UNIT_BYTES));
    await using reader = await openObject(this.#client, tail.key, { signal: AbortSignal.any([signal, late.signal]) });
    if (reader?.size !== tail.size) return false;
    const hash = createHash("sha256");
    const chunks = reader[Symbol.asyncIterator]();
    for (;;) {
      const start = performance.now();
      const timer = setTimeout(() => late.abort(lateTail()), Math.max(1, left));
      const next = await chunks.next().finally(() => clearTimeout(timer));
      left -= performance.now() - start;
      if (next.done === true) return hash.digest("hex") === tail.digest;
      hash.update(next.value);
      await sink(next.value);
    }
  }

  /** Removes a tail that nobody names any more. Does not fail: what is left over is collected in the end. */
  async remove(key: string): Promise<void> {
    try {
      await deleteObject(this.#client, key, { patience: "reader" });
    } catch (error) {
      this.#log("the tail of an upload could not be removed", error);
    }
  }

  /** Removes all tails of an upload, also those that no record names. Does not fail. */
  async removeAll(id: UploadId): Promise<void> {
    try {
      for await (const { items } of listObjects(this.#client, this.#layout.tails(id))) {
        for (const { key } of items)
          if (this.#layout.recordOfTail(key) !== null) await deleteObject(this.#client, key, { patience: "reader" });
      }
    } catch (error) {
      this.#log("the tails of an upload could not be removed", error);
    }
  }
}

function lateTail(): FixityError {
  return new FixityError("store-unavailable", "The store did not return what was saved in time. Try again soon.");
}
