/** The worker that hashes, in browsers: SHA-256 of files slice by slice, and of bytes that pass by. */
import { createSHA256, type IHasher } from "hash-wasm";
import type { FromWorker, ToWorker } from "./hash-messages.ts";

/** Bytes between two reports of how far a file is hashed. */
const REPORT = 2 * 1024 * 1024;

/** The worker's side of its channel. */
interface WorkerScope {
  addEventListener(name: "message", listener: (event: { readonly data: ToWorker }) => void): void;
  postMessage(message: FromWorker): void;
}

type BytesReader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

interface Hash {
  readonly hasher: IHasher;
  hashed: number;
}

const scope = globalThis as unknown as WorkerScope;
const hashes = new Map<number, Promise<Hash>>();

scope.addEventListener("message", ({ data }) => {
  const { id } = data;
  if (data.say === "drop") {
    hashes.delete(id);
    return;
  }
  const before = hashes.get(id) ?? newHash();
  const after = before.then(async (hash) => {
    // what was dropped in the meantime is not gone on with
    if (hashes.has(id)) await answer(hash, data);
    return hash;
  });
  hashes.set(id, after);
  after.catch((error: unknown) => {
    hashes.delete(id);
    scope.postMessage({ id, failed: error instanceof ReadFailure ? "source" : "hashing" });
  });
});

/** The file has gone or changed. */
class ReadFailure extends Error {}

async function newHash(): Promise<Hash> {
  const hasher = await createSHA256();
  return { hasher: hasher.init(), hashed: 0 };
}

async function answer(hash: Hash, message: ToWorker): Promise<void> {
  const { id, say } = message;
  if (say === "update") take(id, hash, message.bytes);
  else if (say === "hash") await hashBlob(id, hash, message.blob);
  if (say === "update" || !hashes.has(id)) return;
  hashes.delete(id);
  scope.postMessage({ id, hex: hash.hasher.digest("hex") });
}

/** By its stream, which the browser reads ahead: slices take half as much time again. */
async function hashBlob(id: number, hash: Hash, blob: Blob): Promise<void> {
  const reader = blob.stream().getReader();
  let reported = 0;
  try {
    // what was dropped in the meantime is not read to its end
    while (hashes.has(id)) {
      const { value, done } = await read(reader);
      if (done) return;
      hash.hasher.update(value);
      hash.hashed += value.length;
      if (hash.hashed - reported < REPORT) continue;
      reported = hash.hashed;
      scope.postMessage({ id, hashed: reported });
      await messagesTaken();
    }
  } finally {
    void reader.cancel().catch(() => null);
  }
}

const { port1: there, port2: here } = new MessageChannel();
here.start();

/**
 * Waits until the messages that have come were taken. What a browser has read ahead it gives at once: without a wait a file that was
 * dropped would be hashed to its end.
 */
function messagesTaken(): Promise<unknown> {
  return new Promise((resolve) => {
    here.addEventListener("message", resolve, { once: true });
    there.postMessage(null);
  });
}

async function read(reader: BytesReader): ReturnType<BytesReader["read"]> {
  try {
    return await reader.read();
  } catch (cause) {
    throw new ReadFailure("The file cannot be read.", { cause });
  }
}

function take(id: number, hash: Hash, bytes: Uint8Array): void {
  hash.hasher.update(bytes);
  hash.hashed += bytes.length;
  scope.postMessage({ id, hashed: hash.hashed });
}
