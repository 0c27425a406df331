import assert from "node:assert/strict";
import { test } from "node:test";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { content } from "../../contract/tools.ts";
import { CopyPace } from "./copy-pace.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import { putObject } from "../api/objects.ts";
import { copyInside, type CopyLimits } from "./server-copy.ts";
import { sha256Hex } from "../api/signer.ts";

const MIB = 1024 * 1024;
const LIMITS: CopyLimits = {
  wholeUpTo: MIB,
  wholeUntried: 6 * MIB,
  wholeAtMost: 8 * MIB,
  partSize: 5 * MIB,
  maxParts: 100,
  concurrency: 2,
};

/** By which requests an object is copied, at a server of that pace. */
async function copied(size: number, pace: CopyPace, isDoubtful = false): Promise<readonly string[]> {
  await using server = await ScriptedServer.start();
  const client = server.client({ attempts: 1 });
  const bytes = content(size);
  const payload = { chunks: [bytes], length: size, digest: sha256Hex([bytes]) };
  await putObject(client, "a", payload, { contentType: "image/png", ifAbsent: false });
  const context: UploadContext = { client, idleLimit: 1e9, copyPace: pace, log: () => undefined };
  await copyInside(context, LIMITS, { from: "a", to: "b", size, contentType: "image/png", isDoubtful });
  await client.destroy();
  assert(server.bucket.objects.get("b")?.bytes.equals(bytes));
  return server.operations.filter((operation) => operation.includes("Copy"));
}

/** A server that copies so many bytes in the time that a copy of the whole may take. */
function paceOf(bytes: number): CopyPace {
  const pace = new CopyPace();
  pace.note(bytes, 2_000);
  return pace;
}

test("at a server whose pace nobody knows, one copy of the whole tells it", async () => {
  const pace = new CopyPace();
  assert.deepEqual(await copied(6 * MIB, pace), ["CopyObject"]);
  assert.notEqual(pace.bytesWithin(1), null);
});

test("what is large for an untried server is copied in parts, which tell nothing", async () => {
  const pace = new CopyPace();
  assert.deepEqual(await copied(7 * MIB, pace), ["UploadPartCopy", "UploadPartCopy"]);
  assert.equal(pace.bytesWithin(1), null);
});

test("a server that is quick copies the whole, up to what one copy may have", async () => {
  assert.deepEqual(await copied(8 * MIB, paceOf(100 * MIB)), ["CopyObject"]);
  assert.deepEqual(await copied(8 * MIB + 1, paceOf(100 * MIB)), ["UploadPartCopy", "UploadPartCopy"]);
});

test("a server that is slow copies in parts what is more than a little", async () => {
  assert.deepEqual(await copied(2 * MIB, paceOf(MIB)), ["UploadPartCopy"]);
  assert.deepEqual(await copied(MIB, paceOf(1)), ["CopyObject"]);
});

test("a doubtful object is copied in parts, however quick the server", async () => {
  assert.deepEqual(await copied(MIB, paceOf(100 * MIB), true), ["UploadPartCopy"]);
});
