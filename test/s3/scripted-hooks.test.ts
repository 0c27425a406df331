/** The app's hooks for resumable uploads in a bucket, whose saved bytes cannot be read back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity, FixityError, type InspectedFile, type StoredDetails } from "../../src/index.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { assertKept, content, digestOf } from "../../src/stores/contract/tools.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;
const REFUSED = new FixityError("forbidden", "The app refuses.");

/** An app over a bucket. */
class App {
  readonly calls: StoredDetails[] = [];
  readonly inspected: InspectedFile[] = [];
  failure: FixityError | null = null;

  over(store: BlobStore) {
    const { uploads } = createFixity({
      store,
      onStored: (_receipt, details) => {
        this.calls.push(details);
        if (this.failure !== null) throw this.failure;
      },
      inspect: (file) => {
        this.inspected.push(file);
        return "allow";
      },
    });
    return uploads ?? assert.fail("no uploads are kept");
  }
}

/** Sizes of the appends of one upload. */
const ROUTES: readonly (readonly [what: string, appends: readonly number[]])[] = [
  ["one request, less than a part", [10_000]],
  ["two requests, less than a part", [1_000, 9_000]],
  ["one request, several parts", [18 * MIB]],
  ["two requests, several parts", [9 * MIB, 9 * MIB]],
];

for (const [what, appends] of ROUTES) {
  test(`an upload whose hook failed is completed by another instance: ${what}`, async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store();
    await using otherStore = server.store();
    const app = new App();
    app.failure = REFUSED;
    const bytes = content(appends.reduce((sum, size) => sum + size, 0));
    const uploads = app.over(store);
    const { id } = await uploads.create({});
    let offset = 0;
    for (const size of appends) {
      const completes = offset + size === bytes.length;
      const source = [Buffer.from(bytes.subarray(offset, offset + size))];
      const append = uploads.append(id, { offset, source, completes });
      await (completes ? assert.rejects(append, REFUSED) : append);
      offset += size;
    }
    await assertKept(store, bytes);
    const other = app.over(otherStore);
    const state = await other.find(id);
    assert.deepEqual([state.offset, state.outcome], [bytes.length, null]);
    await assert.rejects(other.find(id, { retriesHook: true }), REFUSED);
    app.failure = null;
    const { outcome } = await other.append(id, { offset, source: [], completes: true });
    assert.ok(outcome !== null && "digest" in outcome && outcome.digest.equals(digestOf(bytes)));
    assert.deepEqual(new Set(app.calls.map(({ key }) => key)), new Set([id.hex]));
    assert.equal(app.calls.length, 3);
    const [file, ...others] = app.inspected;
    assert.equal(others.length, 0, "it is inspected once");
    assert.ok(Buffer.from(bytes.subarray(0, 4096)).equals(file?.head ?? assert.fail()));
    assert.equal(file?.size, bytes.length);
    // nothing but the blob and the record is left
    assert.equal(server.bucket.uploads.size, 0);
    assert.equal(server.bucket.objects.size, 2, [...server.bucket.objects.keys()].join(" "));
  });
}

test("a hook costs one request to the bucket for each resumable upload", async () => {
  const counts: number[] = [];
  for (const hasHook of [false, true]) {
    await using server = await ScriptedServer.start();
    await using store = server.store();
    const { uploads } = createFixity({ store, ...(hasHook && { onStored: () => {} }) });
    const { id } = (await uploads?.create({ length: 10_000 })) ?? assert.fail();
    const before = server.seen.length;
    await uploads?.append(id, { offset: 0, source: [content(10_000)], completes: true });
    counts.push(server.seen.length - before);
  }
  const [without = 0, withHook] = counts;
  assert.equal(withHook, without + 1);
});
