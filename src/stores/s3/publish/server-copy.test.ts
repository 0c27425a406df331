import assert from "node:assert/strict";
import { test } from "node:test";
import { failure } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { FixityError } from "../../../core/errors.ts";
import { content } from "../../contract/tools.ts";
import { headObject, putObject } from "../api/objects.ts";
import { payloadOf } from "../api/signer.ts";
import type { CopyLimits } from "../options.ts";
import { CopyRate, ServerCopier } from "./server-copy.ts";

const MIB = 1024 * 1024;
const LIMITS: CopyLimits = {
  wholeUpTo: MIB,
  wholeUntried: 6 * MIB,
  wholeAtMost: 8 * MIB,
  partSize: 5 * MIB,
  maxParts: 100,
  concurrency: 2,
};
const REMAKE_LIMITS: CopyLimits = {
  wholeUpTo: 1e9,
  wholeUntried: 1e9,
  wholeAtMost: 1e9,
  partSize: 8 * MIB,
  maxParts: 100,
  concurrency: 2,
};

/** Stores an object, and returns a copier with a rate of its own. */
async function setUp(
  server: ScriptedServer,
  key: string,
  setting: { size: number; limits: CopyLimits; rate?: CopyRate },
) {
  const { size, limits, rate = new CopyRate() } = setting;
  const options = { ...server.options({ attempts: 1 }), copyLimits: limits, idleLimit: 1e9 };
  const client = server.client({ attempts: 1 });
  const bytes = content(size);
  const payload = payloadOf(bytes);
  await putObject(client, key, payload, { contentType: "image/png", ifAbsent: false });
  return { bytes, client, copier: new ServerCopier(client, options, rate) };
}

/** The requests by which an object is copied at a server of that rate. */
async function copied(size: number, rate: CopyRate, isDoubtful = false): Promise<readonly string[]> {
  await using server = await ScriptedServer.start();
  const { bytes, client, copier } = await setUp(server, "a", { size, limits: LIMITS, rate });
  await copier.copy({ from: { key: "a" }, to: "b", size, contentType: "image/png", isDoubtful });
  await client.destroy();
  assert(server.bucket.objects.get("b")?.bytes.equals(bytes));
  return server.operations.filter((operation) => operation.includes("Copy"));
}

/** A server that copies so many bytes within the time that a copy of the whole may take. */
function rateOf(bytes: number): CopyRate {
  const rate = new CopyRate();
  rate.add(bytes, 2_000);
  return rate;
}

test("at a server whose rate is unknown, one copy of the whole measures it", async () => {
  const rate = new CopyRate();
  assert.deepEqual(await copied(6 * MIB, rate), ["CopyObject"]);
  assert.notEqual(rate.bytesWithin(1), null);
});

test("an object that is large for an unmeasured server is copied in parts, which measure nothing", async () => {
  const rate = new CopyRate();
  assert.deepEqual(await copied(7 * MIB, rate), ["UploadPartCopy", "UploadPartCopy"]);
  assert.equal(rate.bytesWithin(1), null);
});

test("a fast server copies the whole, up to the limit of one copy", async () => {
  assert.deepEqual(await copied(8 * MIB, rateOf(100 * MIB)), ["CopyObject"]);
  assert.deepEqual(await copied(8 * MIB + 1, rateOf(100 * MIB)), ["UploadPartCopy", "UploadPartCopy"]);
});

test("a slow server copies everything but small objects in parts", async () => {
  assert.deepEqual(await copied(2 * MIB, rateOf(MIB)), ["UploadPartCopy"]);
  assert.deepEqual(await copied(MIB, rateOf(1)), ["CopyObject"]);
});

test("a doubtful object is copied in parts, however fast the server", async () => {
  assert.deepEqual(await copied(MIB, rateOf(100 * MIB), true), ["UploadPartCopy"]);
});

const KEY = "blobs/x";

/** Stores an object, and remakes it as if it had been made of `count` parts. */
async function remade(size: number, count: number, script: (server: ScriptedServer) => void = () => undefined) {
  await using server = await ScriptedServer.start();
  const { bytes, client, copier } = await setUp(server, KEY, { size, limits: REMAKE_LIMITS });
  const object = await headObject(client, KEY);
  assert(object !== null);
  script(server);
  const failed = await copier.remake(KEY, object, count).catch((error: unknown) => error);
  await client.destroy();
  assert(server.bucket.objects.get(KEY)?.bytes.equals(bytes));
  assert.equal(server.bucket.objects.get(KEY)?.type, "image/png");
  return { failed, etag: server.bucket.objects.get(KEY)?.etag ?? "", open: server.bucket.uploads.size };
}

test("a remade object has the same bytes and type, and another number of parts", async () => {
  for (const [size, count, becomes] of [
    [6 * MIB, 2, 1],
    [6 * MIB, 1, 2],
    [5 * MIB + 1, 1, 2],
    [10 * MIB, 1, 2],
    [10 * MIB, 2, 1],
    [20 * MIB, 3, 2],
    [20 * MIB, 4, 3],
  ] as const) {
    const { failed, etag, open } = await remade(size, count);
    assert.equal(failed, undefined);
    assert(etag.endsWith(`-${becomes}"`), `${size} of ${count}: ${etag}`);
    assert.equal(open, 0);
  }
});

test("an object that cannot be remade stays as it is, and that is an error", async () => {
  for (const status of [403, 404, 501]) {
    const { failed, open } = await remade(6 * MIB, 2, (server) => {
      server.always("UploadPartCopy", failure(status, "No"));
    });
    assert(failed instanceof Error);
    assert.equal(open, 0, "what was begun is aborted");
  }
});

test("an object with the same entity tag after remaking counts as not remade", async () => {
  const { failed } = await remade(6 * MIB, 2, (server) => {
    const before = server.bucket.objects.get(KEY);
    server.always("HeadObject", ({ headers }) => {
      const answer = server.bucket.answer({
        operation: "HeadObject",
        key: KEY,
        headers,
        length: 0,
        query: new URLSearchParams(),
        content: Buffer.alloc(0),
      });
      return { ...answer, headers: { ...answer.headers, etag: before?.etag ?? "" } };
    });
  });
  assert(failed instanceof FixityError && failed.code === "store-unavailable");
});

test("the rate of a server that has copied nothing is unknown", () => {
  assert.equal(new CopyRate().bytesWithin(1_000), null);
});

test("the best rate that a server has shown is its rate", () => {
  const rate = new CopyRate();
  rate.add(1_000, 100);
  assert.equal(rate.bytesWithin(1_000), 10_000);
  rate.add(5_000, 100);
  rate.add(1_000, 1_000);
  assert.equal(rate.bytesWithin(1_000), 50_000);
});

test("a copy too short to be measured counts as one of a millisecond", () => {
  const rate = new CopyRate();
  rate.add(1_000, 0);
  assert.equal(rate.bytesWithin(2), 2_000);
});
