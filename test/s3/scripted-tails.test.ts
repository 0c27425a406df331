/** Tails: the last bytes of a resumable upload, which the next holder reads as a whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadId } from "../../src/core/upload-id.ts";
import { digestOf } from "../../src/stores/contract/tools.ts";
import { append, bring, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;

test("a tail that arrives too slowly fails at a deadline, and can be read once S3 has recovered", async () => {
  await using server = await ScriptedServer.start();
  // The idle timeout never applies: a byte arrives every few milliseconds.
  await using store = server.store({ timeouts: { answer: 2_000, idle: 3_600_000 } });
  const uploads = uploadsOf(store);
  const id = UploadId.random();
  const bytes = Buffer.alloc(2 * MIB, "a tail ");
  await uploads.create(id, "begun", { length: bytes.length });
  await append(uploads, id, { bytes: bytes.subarray(0, MIB) });
  server.always("GetObject", ({ key }) => (key.includes(".tail-") ? "trickle" : null));
  await assert.rejects(append(uploads, id, { bytes: bytes.subarray(MIB) }), { code: "store-unavailable" });
  server.always("GetObject", null);
  const held = await take(uploads, id);
  assert.equal(held.offset, MIB);
  await bring(held, bytes.subarray(MIB));
  await held.save("all there");
  await held.commit(digestOf(bytes));
  await held[Symbol.asyncDispose]();
  assert.equal((await store.stat(digestOf(bytes)))?.size, bytes.length);
});
