import assert from "node:assert/strict";
import { test } from "node:test";
import { failure, type ScriptedBucket } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { FixityError } from "../../../core/errors.ts";
import { content } from "../../contract/tools.ts";
import { CopyPace } from "./copy-pace.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import { headObject, putObject } from "../api/objects.ts";
import { remake } from "./remake.ts";
import { sha256Hex } from "../api/signer.ts";

const MIB = 1024 * 1024;
const KEY = "blobs/x";

/** Puts an object, and makes it anew as if it had been made of `count` parts. */
async function remade(size: number, count: number, script: (server: ScriptedServer) => void = () => undefined) {
  await using server = await ScriptedServer.start();
  const client = server.client({ attempts: 1 });
  const bytes = content(size);
  const payload = { chunks: [bytes], length: size, digest: sha256Hex([bytes]) };
  await putObject(client, KEY, payload, { contentType: "image/png", ifAbsent: false });
  const object = await headObject(client, KEY);
  assert(object !== null);
  const context: UploadContext = { client, idleLimit: 1e9, copyPace: new CopyPace(), log: () => undefined };
  const limits = {
    wholeUpTo: 1e9,
    wholeUntried: 1e9,
    wholeAtMost: 1e9,
    partSize: 8 * MIB,
    maxParts: 100,
    concurrency: 2,
  };
  script(server);
  const failed = await remake(context, limits, { key: KEY, object, count }).catch((error: unknown) => error);
  await client.destroy();
  assertSame(server.bucket, bytes);
  return { failed, etag: server.bucket.objects.get(KEY)?.etag ?? "", open: server.bucket.uploads.size };
}

function assertSame(bucket: ScriptedBucket, bytes: Buffer): void {
  assert(bucket.objects.get(KEY)?.bytes.equals(bytes));
  assert.equal(bucket.objects.get(KEY)?.type, "image/png");
}

test("an object made anew has its bytes and its type, and another number of parts", async () => {
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

test("an object that cannot be made anew stays what it is, and that is an error", async () => {
  for (const status of [403, 404, 501]) {
    const { failed, open } = await remade(6 * MIB, 2, (server) => {
      server.always("UploadPartCopy", failure(status, "No"));
    });
    assert(failed instanceof Error);
    assert.equal(open, 0, "what was begun is aborted");
  }
});

test("an object of which it cannot be told that it was made anew counts as what it was", async () => {
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
