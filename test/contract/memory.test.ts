import assert from "node:assert/strict";
import type { Digest } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { storeContract } from "../../src/store-contract.ts";

// A memory store lies nowhere but in itself, so the other store over its place is itself. It does
// not compare bytes with digests, so wrong bytes can be committed.
storeContract("memory", async () => {
  const store = memoryStore();
  const replace = async (...[digest, change]: [Digest, (bytes: Buffer) => Buffer]) => {
    const reader = await store.open(digest);
    assert(reader !== null);
    const chunks: Uint8Array[] = [];
    for await (const chunk of reader) chunks.push(chunk);
    await using staged = await store.stage();
    await staged.write(change(Buffer.concat(chunks)));
    await staged.commit(digest, { judge: () => "replace" });
  };
  return {
    store,
    another: async () => store,
    damage: async (digest) => replace(digest, (bytes) => bytes.subarray(0, 5)),
    corrupt: async (digest) =>
      replace(digest, (bytes) => Buffer.from(bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte)))),
  };
});
