/**
 * The worker that hashes, in browsers: SHA-256 of whole files, and of bytes that are passed to it in
 * chunks.
 */
import { createSHA256, type IHasher } from "hash-wasm";

/** A message to the worker about one hash, which its number identifies. */
export type ToWorker =
  /** Hash the whole blob, reporting progress. */
  | { readonly id: number; readonly type: "hash"; readonly blob: Blob }
  /** Add these bytes. */
  | { readonly id: number; readonly type: "update"; readonly bytes: Uint8Array }
  /** Return the digest of the bytes so far. */
  | { readonly id: number; readonly type: "digest" }
  /** Forget the hash. */
  | { readonly id: number; readonly type: "drop" };

/** A message from the worker. */
export type FromWorker =
  /** The number of bytes that are hashed. */
  | { readonly id: number; readonly hashed: number }
  /** The digest in hex. */
  | { readonly id: number; readonly hex: string }
  /** The bytes could not be read; or nothing can be hashed, for example without WebAssembly. */
  | { readonly id: number; readonly failed: "source" | "hashing" };

/** Bytes between two reports. */
const REPORT_INTERVAL_BYTES = 2 * 1024 * 1024;

/** The worker's side of its channel. */
interface WorkerScope {
  addEventListener?(name: "message", listener: (event: { readonly data: ToWorker }) => void): void;
  postMessage(message: FromWorker): void;
}

type BytesReader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

interface Hash {
  readonly hasher: IHasher;
  hashed: number;
}

const scope = globalThis as unknown as WorkerScope;
const hashes = new Map<number, Promise<Hash>>();

// tools that import every entry of the package run this in Node, which has no such function
scope.addEventListener?.("message", ({ data }) => {
  const { id } = data;
  if (data.type === "drop") {
    hashes.delete(id);
    return;
  }
  const before = hashes.get(id) ?? newHash();
  const after = before.then(async (hash) => {
    // a later message may have dropped it
    if (hashes.has(id)) await answer(hash, data);
    return hash;
  });
  hashes.set(id, after);
  after.catch((error: unknown) => {
    hashes.delete(id);
    scope.postMessage({ id, failed: error instanceof ReadFailure ? "source" : "hashing" });
  });
});

/** The file has changed or disappeared. */
class ReadFailure extends Error {}

async function newHash(): Promise<Hash> {
  const hasher = await createSHA256();
  return { hasher: hasher.init(), hashed: 0 };
}

async function answer(hash: Hash, message: ToWorker): Promise<void> {
  const { id, type } = message;
  if (type === "update") update(id, hash, message.bytes);
  else if (type === "hash") await hashBlob(id, hash, message.blob);
  if (type === "update" || !hashes.has(id)) return;
  hashes.delete(id);
  scope.postMessage({ id, hex: hash.hasher.digest("hex") });
}

/**
 * Reads the blob as a stream, which the browser reads ahead: reading it in slices takes 50 %
 * longer.
 */
async function hashBlob(id: number, hash: Hash, blob: Blob): Promise<void> {
  const reader = blob.stream().getReader();
  let reported = 0;
  try {
    while (hashes.has(id)) {
      const { value, done } = await read(reader);
      if (done) return;
      hash.hasher.update(value);
      hash.hashed += value.length;
      if (hash.hashed - reported < REPORT_INTERVAL_BYTES) continue;
      reported = hash.hashed;
      scope.postMessage({ id, hashed: reported });
      await messagesHandled();
    }
  } finally {
    void reader.cancel().catch(() => null);
  }
}

const { port1: sender, port2: receiver } = new MessageChannel();
receiver.start();

/**
 * Waits until the messages that have arrived are handled. Reads of what a browser has read ahead
 * resolve at once, so without this wait a blob that was dropped would be hashed to its end.
 */
function messagesHandled(): Promise<unknown> {
  return new Promise((resolve) => {
    receiver.addEventListener("message", resolve, { once: true });
    sender.postMessage(null);
  });
}

async function read(reader: BytesReader): ReturnType<BytesReader["read"]> {
  try {
    return await reader.read();
  } catch (cause) {
    throw new ReadFailure("The file cannot be read.", { cause });
  }
}

function update(id: number, hash: Hash, bytes: Uint8Array): void {
  hash.hasher.update(bytes);
  hash.hashed += bytes.length;
  scope.postMessage({ id, hashed: hash.hashed });
}
