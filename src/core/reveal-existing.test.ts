import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { memoryStore } from "../memory.ts";
import type { UploadEvent } from "./diagnostics.ts";
import { Digest } from "./digest.ts";
import { createFixity } from "./fixity.ts";
import type { Receipt } from "./link.ts";

const CONTENT = Buffer.from("hello");
const DIGEST = Digest.fromBytes(createHash("sha256").update(CONTENT).digest()) ?? assert.fail("no digest");

/** A service that does not reveal what exists, over a store that has the content or not. */
async function secretive(isStored: boolean) {
  const store = memoryStore();
  if (isStored) await createFixity({ store }).put(CONTENT);
  const truths: boolean[] = [];
  const onStored = ({ existed }: Receipt): void => void truths.push(existed);
  const fixity = createFixity({ store, revealExisting: false, onStored });
  return { fixity, uploads: fixity.uploads ?? assert.fail("no uploads are kept"), store, truths };
}

test("uploads of existing and of new content have equal receipts, and the hook gets the truth", async () => {
  const receipts: Receipt[] = [];
  for (const isStored of [false, true]) {
    const { fixity, truths } = await secretive(isStored);
    receipts.push(await fixity.put(CONTENT, { digest: DIGEST, length: 5, filename: "a.txt" }));
    assert.deepEqual(truths, [isStored]);
  }
  assert.deepEqual(receipts[0], receipts[1]);
  assert.equal(receipts[0]?.existed, false);
});

test("a resumable upload of existing content is like one of new content, also when it is found again", async () => {
  for (const isStored of [false, true]) {
    const { uploads, truths } = await secretive(isStored);
    const created = await uploads.create({ digest: DIGEST, length: 5 });
    assert.deepEqual([created.offset, created.outcome], [0, null]);
    const ended = await uploads.append(created.id, { offset: 0, source: [CONTENT], completes: true });
    for (const { outcome } of [ended, await uploads.find(created.id)]) {
      assert.ok(outcome !== null && "existed" in outcome && !outcome.existed);
    }
    assert.deepEqual(truths, [isStored]);
  }
});

test("a digest alone is never acknowledged, and the store is not asked", async () => {
  const { fixity, store } = await secretive(true);
  store.confirm = () => assert.fail("the store is asked");
  assert.equal(await fixity.lookUp(DIGEST, { length: 5 }), "unknown");
  assert.equal(await fixity.claim(DIGEST, { length: 5 }), null);
});

test("every byte of existing content is read", async () => {
  const { fixity, uploads } = await secretive(true);
  let read = 0;
  function* bytes(): Generator<Uint8Array> {
    for (const byte of CONTENT) {
      read += 1;
      yield Uint8Array.of(byte);
    }
  }
  await fixity.put(bytes(), { digest: DIGEST, length: 5 });
  const first = { offset: 0, source: bytes(), completes: true };
  await uploads.createAndAppend({ digest: DIGEST, length: 5 }, first, () => {});
  assert.equal(read, 10);
});

test("diagnostics get the truth about existing content", async () => {
  const events: UploadEvent[] = [];
  const listen = (event: unknown): void => void events.push(event as UploadEvent);
  const { fixity, uploads } = await secretive(true);
  subscribe("fixity:upload", listen);
  await fixity.put(CONTENT);
  const { id } = await uploads.create({});
  await uploads.append(id, { offset: 0, source: [CONTENT], completes: true });
  unsubscribe("fixity:upload", listen);
  assert.deepEqual(
    events.map(({ outcome }) => outcome),
    ["existed", "existed"],
  );
});
