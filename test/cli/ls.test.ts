import assert from "node:assert/strict";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

async function storeOf(texts: readonly string[]): Promise<StoreFolder> {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  await store.check();
  const fixity = createFixity({ store });
  for (const text of texts) await fixity.put(Buffer.from(text));
  return folder;
}

const LINE = /^sha256:([0-9a-f]{64}) +(\d+) {2}(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/;

test("each file is one line in columns: digest, bytes and time", async () => {
  const before = Math.floor(Date.now() / 1000) * 1000;
  await using folder = await storeOf(["one", "three", ""]);
  const { code, out, err } = await runCommand(["ls", "--dir", folder.path]);
  assert.deepEqual([code, err], [0, ""]);
  const lines = out.trimEnd().split("\n");
  assert.equal(new Set(lines.map((line) => line.length)).size, 1, "the columns are aligned");
  const found = lines.map((line) => LINE.exec(line) ?? assert.fail(line));
  assert.deepEqual(
    new Set(found.map(([, hex, size]) => `${hex} ${size}`)),
    new Set(["one", "three", ""].map((text) => `${sha256(text)} ${text.length}`)),
  );
  for (const [, , , time = ""] of found) assert.ok(Date.parse(time) >= before, time);
});

test("--json prints one object per file, and a last one with the totals", async () => {
  await using folder = await storeOf(["one"]);
  const { code, out } = await runCommand(["ls", "--json"], { env: { UPLOAD_DIR: folder.path } });
  assert.equal(code, 0);
  const [{ modified, ...blob } = {}, last] = jsonLines(out);
  assert.deepEqual(blob, { status: "stored", digest: `sha256:${sha256("one")}`, size: 3 });
  assert.equal(new Date(String(modified)).toISOString(), modified);
  assert.deepEqual(last, { status: "done", blobs: 1, bytes: 3 });
});

test("--summary prints the totals only, and an empty store has none", async () => {
  await using folder = await storeOf(["one", "three"]);
  const env = { UPLOAD_DIR: folder.path };
  assert.equal((await runCommand(["ls", "--summary"], { env })).out, "2 blobs, 8 bytes\n");
  assert.deepEqual(jsonLines((await runCommand(["ls", "--summary", "--json"], { env })).out), [
    { status: "done", blobs: 2, bytes: 8 },
  ]);
  await using empty = await storeOf([]);
  assert.deepEqual(await runCommand(["ls", "--dir", empty.path]), { code: 0, out: "", err: "" });
});

test("--prefix lists the digests that begin with it, of any length", async () => {
  const texts = Array.from({ length: 40 }, (_, index) => `text ${index}`);
  await using folder = await storeOf(texts);
  const hexes = texts.map((text) => sha256(text));
  const [first = ""] = hexes;
  for (const length of [0, 1, 2, 3, 64]) {
    const prefix = first.slice(0, length);
    const { out } = await runCommand(["ls", "--dir", folder.path, "--prefix", `sha256:${prefix.toUpperCase()}`]);
    const listed = Array.from(out.matchAll(/^sha256:([0-9a-f]{64})/gm), ([, hex = ""]) => hex);
    assert.deepEqual(listed.toSorted(), hexes.filter((hex) => hex.startsWith(prefix)).toSorted(), prefix);
  }
  const { code, err } = await runCommand(["ls", "--dir", folder.path, "--prefix", "photo.png"]);
  assert.deepEqual([code, err], [2, 'fixity: --prefix must be up to 64 hex digits, not "photo.png".\n']);
});

test("a reader that leaves ends the listing without a word", async () => {
  // More than a pipe holds.
  await using folder = await storeOf(Array.from({ length: 1500 }, (_, index) => `text ${index}`));
  const under = ["sh", "-c", '"$@" | head -n 1', "sh"];
  const { out, err } = await runCommand(["ls", "--dir", folder.path], { under });
  assert.match(out.trimEnd(), LINE);
  assert.equal(err, "");
  await using command = new Command(["ls", "--dir", folder.path]);
  command.stopReading();
  const { code, err: said } = await command.ended;
  assert.deepEqual([code, said], [141, ""]);
});

test("a folder without a store is an error", async () => {
  const { code, out, err } = await runCommand(["ls", "--dir", "/nowhere/at/all"]);
  assert.deepEqual([code, out], [2, ""]);
  assert.match(err, /^fixity: There is no store in "\/nowhere\/at\/all"/);
});
