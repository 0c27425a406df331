import { parentPort, workerData } from "node:worker_threads";
import { type BlobPaths, writeBlob } from "./write-blob.ts";

/** A blob of a batch. A thread is asked for lists of these. */
export interface BatchedBlob extends BlobPaths {
  /** Where its bytes begin and end in the memory that both threads share. */
  readonly start: number;
  readonly end: number;
}

/** What a thread answers. */
export interface BatchAnswer {
  /** Which blobs were published, in the order of the request. */
  readonly published: readonly boolean[];
  readonly troubles: readonly (readonly [message: string, error: unknown])[];
}

const memory = workerData as Uint8Array;

parentPort?.on("message", (batch: readonly BatchedBlob[]) => {
  const troubles: [string, unknown][] = [];
  const log = (message: string, error: unknown): void => void troubles.push([message, error]);
  const published = batch.map((blob) => writeBlob(blob, memory.subarray(blob.start, blob.end), log));
  const answer: BatchAnswer = { published, troubles };
  parentPort?.postMessage(answer);
});
