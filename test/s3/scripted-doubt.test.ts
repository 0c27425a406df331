/** Completions and copies that are carried out but never answered. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { content, digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { ScriptedServer, type Step } from "./scripted-server.ts";

const MIB = 1024 * 1024;
/** Two parts. */
const LARGE = 5 * MIB + 1000;
const BIG = content(LARGE, 7);

async function upload(store: BlobStore, bytes: Uint8Array, hints: StageOptions): Promise<void> {
  await using staged = await store.stage(hints);
  await writeAll(staged, bytes);
  await staged.commit(digestOf(bytes));
}

async function assertReadable(store: BlobStore, bytes: Uint8Array): Promise<void> {
  await using reader = await store.open(digestOf(bytes));
  assert(reader !== null && (await readAll(reader)).equals(bytes), "an acknowledged blob can be read");
}

const announced = (bytes: Uint8Array): StageOptions => ({ digest: digestOf(bytes), length: bytes.length });
const count = (server: ScriptedServer, operation: string): number =>
  server.operations.filter((seen) => seen === operation).length;

void describe("completions and copies that are carried out and never answered", () => {
  /** Carries the request out without a response. */
  const unanswered =
    (server: ScriptedServer) =>
    (request: Parameters<ScriptedServer["bucket"]["answer"]>[0]): Step => {
      server.bucket.answer(request);
      return "silence";
    };

  for (const [operation, hints] of [
    ["CompleteMultipartUpload", announced(BIG)],
    ["CompleteMultipartUpload", {}],
    ["CopyObject", {}],
  ] as const) {
    const where = "digest" in hints ? "at the final key" : "by way of a staging key";
    test(`${operation} ${where}: the object is found long before the timeout`, async () => {
      await using server = await ScriptedServer.start();
      // Only a check for the object can end the wait: all other timeouts are hours.
      await using store = server.store({ timeouts: { look: 30, completion: 3_600_000, retries: 3_600_000 } });
      server.always(operation, unanswered(server));
      if (operation === "CompleteMultipartUpload" && !("digest" in hints)) {
        // The copy in parts after the unanswered completion is answered.
        server.always(operation, (request) => (request.key.startsWith("tmp/") ? unanswered(server)(request) : null));
      }
      await upload(store, BIG, hints);
      await assertReadable(store, BIG);
      assert.equal(count(server, "AbortMultipartUpload"), 0);
    });
  }

  test("an older object of the same size is not mistaken for the new one", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({ attempts: 1, timeouts: { look: 30, completion: 600 } });
    const key = `blobs/${digestOf(BIG).hex}`;
    assert.equal(await store.confirm(digestOf(BIG)), null);
    server.bucket.answer({
      operation: "PutObject",
      key,
      headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      length: LARGE,
      query: new URLSearchParams(),
      content: content(LARGE, 99),
    });
    let isCompleted = false;
    server.always("CompleteMultipartUpload", () => "silence");
    server.always("HeadObject", () => {
      // The completion takes effect after the store has checked the old object several times.
      if (!isCompleted && count(server, "HeadObject") === 5) {
        isCompleted = true;
        const asked = server.seen.find(({ operation }) => operation === "CompleteMultipartUpload");
        if (asked !== undefined) server.bucket.answer(asked);
      }
      return null;
    });
    await upload(store, BIG, { ...announced(BIG), isKnownAbsent: true });
    assert.equal(isCompleted, true);
    await assertReadable(store, BIG);
  });
});
