import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { failure } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import type { StoreRequestEvent } from "../../../core/diagnostics.ts";
import type { S3Client } from "./client.ts";
import { createMultipartUpload } from "./multipart.ts";
import { deleteObject, getObject, headObject, putObject } from "./objects.ts";
import { payloadOf } from "./signer.ts";

type Outcome = Omit<StoreRequestEvent, "durationMs">;

/**
 * The events of `fixity:store-request` that the calls of `work` publish. Their durations are
 * checked here.
 */
async function published(work: () => Promise<unknown>): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const listener = (message: unknown): void => {
    const { durationMs, ...outcome } = message as StoreRequestEvent;
    assert(durationMs >= 0, String(durationMs));
    outcomes.push(outcome);
  };
  subscribe("fixity:store-request", listener);
  try {
    await work().catch(() => null);
  } finally {
    unsubscribe("fixity:store-request", listener);
  }
  return outcomes;
}

async function withClient(work: (client: S3Client, server: ScriptedServer) => Promise<void>): Promise<void> {
  await using server = await ScriptedServer.start();
  const client = server.client({ attempts: 3 });
  try {
    await work(client, server);
  } finally {
    await client.destroy();
  }
}

const put = (client: S3Client): Promise<void> =>
  putObject(client, "key", payloadOf("content"), { contentType: "text/plain", ifAbsent: false });

test("each call publishes one event when it has ended, with its attempts and its last status", async () => {
  await withClient(async (client, server) => {
    assert.deepEqual(await published(() => put(client)), [
      { operation: "PutObject", outcome: "ok", status: 200, attempts: 1 },
    ]);
    server.once("PutObject", failure(503, "SlowDown"), "close");
    assert.deepEqual(await published(() => put(client)), [
      { operation: "PutObject", outcome: "ok", status: 200, attempts: 3 },
    ]);
    server.once("PutObject", failure(403, "AccessDenied"));
    assert.deepEqual(await published(() => put(client)), [
      { operation: "PutObject", outcome: "failed", status: 403, attempts: 1 },
    ]);
  });
});

test("a call without a response has no status, and one that was given up has the status of its last attempt", async () => {
  await withClient(async (client, server) => {
    server.always("DeleteObject", "close");
    assert.deepEqual(await published(() => deleteObject(client, "key")), [
      { operation: "DeleteObject", outcome: "failed", status: null, attempts: 3 },
    ]);
    server.always("DeleteObject", failure(500, "InternalError"));
    assert.deepEqual(await published(() => deleteObject(client, "key")), [
      { operation: "DeleteObject", outcome: "failed", status: 500, attempts: 3 },
    ]);
  });
});

test("an error document with status 200 is a failure, and an absent object a response of 404", async () => {
  await withClient(async (client, server) => {
    server.always("CreateMultipartUpload", failure(200, "InternalError"));
    const create = () => createMultipartUpload(client, "key", { contentType: "text/plain" });
    assert.deepEqual(await published(create), [
      { operation: "CreateMultipartUpload", outcome: "failed", status: 200, attempts: 3 },
    ]);
    assert.deepEqual(await published(() => headObject(client, "absent")), [
      { operation: "HeadObject", outcome: "failed", status: 404, attempts: 1 },
    ]);
  });
});

test("a download publishes its event with the header section", async () => {
  await withClient(async (client) => {
    await put(client);
    const outcomes = await published(async () => {
      const { body } = await getObject(client, "key", null, undefined);
      body.on("error", () => null).destroy();
    });
    assert.deepEqual(outcomes, [{ operation: "GetObject", outcome: "ok", status: 200, attempts: 1 }]);
  });
});
