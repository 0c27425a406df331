/** A proxy in front of S3 that answers a request with an earlier response. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UploadId } from "../../src/core/upload-id.ts";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { append, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { type OldAnswer, type Repetition, RepeatingProxy } from "./repeating-proxy.ts";
import { announced, assertStored, everyKindOfRequest, store as storeBytes } from "./repetition.ts";
import { someOf } from "../helpers/full-run.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;

const OPERATIONS = [
  "PutObject",
  "CreateMultipartUpload",
  "UploadPart",
  "CompleteMultipartUpload",
  "CopyObject",
  "HeadObject",
  "GetObject",
  "ListObjectsV2",
  "DeleteObject",
] as const;

const HOW: readonly Pick<Repetition, "old" | "isForwarded" | "isEarly">[] = (
  ["of the same kind", "on the connection"] satisfies OldAnswer[]
).flatMap((old) => [
  { old, isForwarded: false, isEarly: false },
  { old, isForwarded: true, isEarly: false },
  { old, isForwarded: true, isEarly: true },
]);

/** A store behind the proxy, with few connections, so that each serves many requests. */
async function behindProxy(
  work: (place: { server: ScriptedServer; proxy: RepeatingProxy; store: BlobStore; log: string[] }) => Promise<void>,
  { ids = "unique" }: { readonly ids?: ScriptedServer["ids"] } = {},
): Promise<void> {
  await using server = await ScriptedServer.start();
  server.ids = ids;
  await using proxy = await RepeatingProxy.start(server.endpoint);
  const log: string[] = [];
  await using store = server.store({
    endpoint: proxy.endpoint,
    connections: 1,
    attempts: 8,
    log: (message) => log.push(message),
  });
  await work({ server, proxy, store, log });
}

void describe("an earlier response to the next request", () => {
  for (const operation of OPERATIONS) {
    test(`${operation}: everything acknowledged is stored, and no wrong bytes are read`, async () => {
      for (const how of someOf(HOW, 1)) {
        await behindProxy(async ({ proxy, store, log }) => {
          await everyKindOfRequest(store, 1);
          // More than one, so that the retry of the request meets one as well.
          proxy.arm({ operation, ...how, times: 3 });
          await everyKindOfRequest(store, 2);
          assert(proxy.repeated > 0, `an old answer was sent: ${JSON.stringify(how)}`);
          assert.equal(log.filter((line) => line.includes("came a second time")).length, 1, log.join("\n"));
        });
      }
    });
  }

  test("resumable uploads keep what was acknowledged, whichever response is repeated", () =>
    behindProxy(async ({ proxy, store }) => {
      const bytesOf = (seed: number): Buffer => Buffer.alloc(7 * MIB, `${seed} of an upload `);
      const run = async (seed: number): Promise<void> => {
        const bytes = bytesOf(seed);
        const id = UploadId.random();
        const uploads = uploadsOf(store);
        await uploads.create(id, "begun", { length: bytes.length });
        await append(uploads, id, { bytes: bytes.subarray(0, MIB) });
        await append(uploads, id, { bytes: bytes.subarray(MIB) });
        await using held = await take(uploads, id);
        assert.equal(held.offset, bytes.length);
        await held.commit(digestOf(bytes));
        await held.remove();
        await assertStored(store, bytes);
      };
      await run(1);
      for (const operation of someOf(
        ["PutObject", "GetObject", "UploadPart", "CompleteMultipartUpload", "CopyObject"],
        2,
      )) {
        for (const isForwarded of someOf([true, false], 1)) {
          proxy.arm({ operation, old: "of the same kind", isForwarded, isEarly: false, times: 1 });
          await run(2);
          assert.equal(proxy.repeated, 1, operation);
          await store.remove(digestOf(bytesOf(2)));
        }
      }
    }));
});

void describe("servers whose responses cannot be distinguished", () => {
  for (const ids of ["constant", "none"] as const) {
    test(`are trusted, and the log states it once: ${ids === "none" ? "no id" : "always the same id"}`, () =>
      behindProxy(
        async ({ store, log, server }) => {
          for (const seed of [1, 2, 3]) await everyKindOfRequest(store, seed);
          assert.equal(log.length, 1, log.join("\n"));
          assert.match(log[0] ?? "", ids === "none" ? /sends no x-amz-request-id/ : /sends the same x-amz-request-id/);
          const small = content(10, 9);
          const before = server.operations.length;
          await storeBytes(store, small, announced(small));
          assert.equal(server.operations.length, before + 1, "nothing is sent twice");
        },
        { ids },
      ));
  }
});
