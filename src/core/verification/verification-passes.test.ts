import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../memory.ts";
import { DIGEST_PREFIXES, duePrefixes, readPasses, recordPasses } from "./verification-passes.ts";

const NOW = Date.parse("2030-01-01T00:00:00Z");
const HOUR_MS = 3_600_000;
const NAME = "verify/passes";

function newDocuments() {
  return memoryStore().documents ?? assert.fail();
}

test("without a record every prefix is due", async () => {
  const passes = await readPasses(newDocuments());
  assert.deepEqual(duePrefixes(passes, 24 * HOUR_MS, NOW), DIGEST_PREFIXES);
});

test("prefixes without a pass come first, then the oldest passes; recent ones are not due", () => {
  const passes = new Map(DIGEST_PREFIXES.map((prefix) => [prefix, NOW]));
  passes.delete("7f");
  passes
    .set("aa", NOW - 30 * HOUR_MS)
    .set("bb", NOW - 40 * HOUR_MS)
    .set("cc", NOW - 23 * HOUR_MS);
  assert.deepEqual(duePrefixes(passes, 24 * HOUR_MS, NOW), ["7f", "bb", "aa"]);
  assert.equal(duePrefixes(passes, 0, NOW).length, 256);
});

test("a time that lies far in the future does not count, one of a clock that is a little ahead does", async () => {
  const documents = newDocuments();
  await recordPasses(
    documents,
    new Map([
      ["00", NOW + 100 * HOUR_MS],
      ["01", NOW + 1000],
    ]),
    NOW + 100 * HOUR_MS,
  );
  assert.deepEqual(duePrefixes(await readPasses(documents), HOUR_MS, NOW).includes("00"), true);
  assert.deepEqual(duePrefixes(await readPasses(documents), HOUR_MS, NOW).includes("01"), false);
  await recordPasses(documents, new Map([["00", NOW]]), NOW);
  assert.equal((await readPasses(documents)).get("00"), NOW, "it is replaced by an earlier one");
});

test("concurrent runs lose nothing of each other, and the later time of a prefix stays", async () => {
  const documents = newDocuments();
  const recorded = DIGEST_PREFIXES.slice(0, 16).map(async (prefix, index) =>
    recordPasses(
      documents,
      new Map([
        [prefix, NOW + index],
        ["ff", NOW + index],
      ]),
      NOW,
    ),
  );
  await Promise.all(recorded);
  const passes = await readPasses(documents);
  assert.equal(passes.size, 17);
  assert.equal(passes.get("ff"), NOW + 15);
  await recordPasses(documents, new Map([["ff", NOW]]), NOW);
  assert.equal((await readPasses(documents)).get("ff"), NOW + 15);
});

test("all 256 times fit into one document", async () => {
  const documents = newDocuments();
  const passes = new Map(DIGEST_PREFIXES.map((prefix, index) => [prefix, NOW + index]));
  await recordPasses(documents, passes, NOW);
  assert.deepEqual(await readPasses(documents), passes);
});

test("a text that is none of ours is written anew, that of a later version is left alone", async () => {
  const documents = newDocuments();
  for (const text of ["{", "null", "[]", '{"version":1,"passes":7}', '{"version":1,"passes":{"00":"soon","zz":1}}']) {
    await documents.write(NAME, text);
    assert.equal((await readPasses(documents)).size, 0, text);
    await recordPasses(documents, new Map([["00", NOW]]), NOW);
    assert.equal((await readPasses(documents)).get("00"), NOW);
  }
  const later = '{"version":2,"passes":[]}';
  await documents.write(NAME, later);
  await assert.rejects(readPasses(documents), { code: "store-misconfigured" });
  await assert.rejects(recordPasses(documents, new Map([["00", NOW]]), NOW), { code: "store-misconfigured" });
  assert.equal((await documents.read(NAME))?.text, later);
});
