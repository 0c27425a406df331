import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { MemoryDocuments } from "../../src/stores/memory/memory-documents.ts";
import { Digest } from "../../src/core/digest.ts";
import type { DocumentStore, ListedDocument } from "../../src/core/document-store.ts";
import { FixityError } from "../../src/core/errors.ts";
import { Marks } from "../../src/core/marks.ts";
import type { Damage } from "../../src/core/verification/damage.ts";
import { DamageMarks } from "../../src/core/verification/damage-marks.ts";

const DIGEST = Digest.fromHex("ab".repeat(32)) ?? assert.fail();
const NAME = `marks/damaged-${DIGEST.hex}`;
const OLD: Damage = { identity: "old", found: null, size: 1 };
const NEW: Damage = { identity: "new", found: null, size: 2 };

/** Documents that can fail to be written, and wait at the end of a listing. */
class Documents extends MemoryDocuments {
  isFull = false;
  listed: () => Promise<void> | void = () => {};

  override async write(...args: Parameters<DocumentStore["write"]>): Promise<string | null> {
    if (this.isFull) throw new FixityError("store-full", "The disk is full.");
    return super.write(...args);
  }

  override async *list(prefix: string): AsyncGenerator<ListedDocument> {
    yield* await Array.fromAsync(super.list(prefix));
    await this.listed();
  }
}

function marksOf(documents: DocumentStore, log: (message: string) => void): DamageMarks {
  return new DamageMarks(new Marks(documents, log), log);
}

/** Lets marks be listed again: they are at most once in ten seconds. */
function clock(t: TestContext): { passes(ms: number): void } {
  let ahead = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + ahead);
  return { passes: (ms) => void (ahead += ms) };
}

describe("the marks of damaged blobs", () => {
  test("are known to every instance once they are listed", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    const [one, other] = [marksOf(documents, () => null), marksOf(documents, () => null)];
    await other.refresh();
    await one.add(DIGEST, NEW);
    assert.deepEqual(one.of(DIGEST, "new"), NEW);
    assert.equal(other.of(DIGEST, "new"), null);
    assert.equal(other.refresh(), undefined, "not listed again at once");
    time.passes(10_000);
    await other.refresh();
    assert.deepEqual(other.of(DIGEST, "new"), NEW);
    assert.equal(other.of(DIGEST, "another copy"), null);
    await one.clear(DIGEST);
    time.passes(10_000);
    await other.refresh();
    assert.equal(other.has(DIGEST), false);
  });

  test("survive a listing that began before they were written", async () => {
    const documents = new Documents();
    const marks = marksOf(documents, () => null);
    documents.listed = () => marks.add(DIGEST, NEW);
    await marks.refresh();
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
  });

  test("are written as soon as there is room for them", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    const logged: string[] = [];
    const marks = marksOf(documents, (message) => void logged.push(message));
    documents.isFull = true;
    await marks.add(DIGEST, NEW);
    assert.match(logged.join("\n"), /could not be marked/);
    await marks.refresh();
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
    documents.isFull = false;
    time.passes(10_000);
    await marks.refresh();
    assert.match((await documents.read(NAME))?.text ?? "", /"identity":"new"/);
    time.passes(10_000);
    await marks.refresh();
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
  });

  test("that cannot be written are not replaced by those of copies before", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    await marksOf(documents, () => null).add(DIGEST, OLD);
    const marks = marksOf(documents, () => null);
    documents.isFull = true;
    await marks.add(DIGEST, NEW);
    await marks.refresh();
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
    documents.isFull = false;
    time.passes(10_000);
    await marks.refresh();
    assert.match((await documents.read(NAME))?.text ?? "", /"identity":"new"/);
  });

  test("of a copy that another instance has found since are not removed", async () => {
    const documents = new Documents();
    const [one, other] = [marksOf(documents, () => null), marksOf(documents, () => null)];
    await one.add(DIGEST, OLD);
    await other.add(DIGEST, NEW);
    await one.clear(DIGEST);
    assert.match((await documents.read(NAME))?.text ?? "", /"identity":"new"/);
  });

  test("that cannot be read do not hide the others, and do not end the reads", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    const logged: string[] = [];
    await documents.write(`marks/damaged-${"cd".repeat(32)}`, "no JSON");
    await documents.write("marks/damaged-short", "{}");
    await documents.write("marks/blocked-later", "{}");
    await marksOf(documents, () => null).add(DIGEST, NEW);
    const marks = marksOf(documents, (message) => void logged.push(message));
    await marks.refresh();
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
    documents.listed = () => {
      throw new FixityError("store-unavailable", "not now");
    };
    for (let times = 0; times < 2; times += 1) {
      time.passes(10_000);
      await marks.refresh();
    }
    assert.deepEqual(marks.of(DIGEST, "new"), NEW);
    assert.equal(logged.length, 1, "said once");
  });
});
