import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { Digest } from "../core/digest.ts";
import { newName, thisProcess } from "../base/process-identity.ts";
import { PartialFile } from "./partial-file.ts";

const digest = Digest.parse("a".repeat(64));
const free = `.fixity-${digest.hex}.part`;

let folder = "";
let round = "";

before(async () => {
  round = await mkdtemp(join(tmpdir(), "fixity-partial-"));
});

beforeEach(async () => {
  folder = await mkdtemp(join(round, "t-"));
});

after(() => rm(round, { recursive: true }));

async function textOf(partial: PartialFile): Promise<string> {
  return Buffer.concat(await Array.fromAsync(partial.bytes())).toString();
}

test("the next run continues with the bytes of the last one", async () => {
  {
    await using partial = await PartialFile.open(folder, digest);
    assert.equal(partial.size, 0);
    await partial.append(Buffer.from("one "));
  }
  assert.deepEqual(await readdir(folder), [free]);
  {
    await using partial = await PartialFile.open(folder, digest);
    assert.equal(partial.size, 4);
    await partial.append(Buffer.from("two"));
    assert.equal(await textOf(partial), "one two");
    await partial.publish(join(folder, "whole"), { mayReplace: false });
  }
  assert.deepEqual(await readdir(folder), ["whole"]);
  assert.equal(await readFile(join(folder, "whole"), "utf8"), "one two");
});

test("a run that received no bytes, discarded them or restarted leaves no file", async () => {
  {
    await using _none = await PartialFile.open(folder, digest);
  }
  {
    await using discarded = await PartialFile.open(folder, digest);
    await discarded.append(Buffer.from("wrong"));
    await discarded.discard();
  }
  {
    await using restarted = await PartialFile.open(folder, digest);
    await restarted.append(Buffer.from("wrong"));
    await restarted.restart();
    assert.equal(restarted.size, 0);
  }
  assert.deepEqual(await readdir(folder), []);
});

test("an existing file is replaced only on request", async () => {
  const path = join(folder, "taken");
  await writeFile(path, "old");
  {
    await using partial = await PartialFile.open(folder, digest);
    await partial.append(Buffer.from("new"));
    await assert.rejects(partial.publish(path, { mayReplace: false }), { code: "EEXIST" });
    assert.equal(await readFile(path, "utf8"), "old");
  }
  assert.deepEqual((await readdir(folder)).sort(), [free, "taken"]);
  await using partial = await PartialFile.open(folder, digest);
  await partial.publish(path, { mayReplace: true });
  assert.equal(await readFile(path, "utf8"), "new");
});

test("two processes at once do not share bytes", async () => {
  await writeFile(join(folder, free), "left");
  await using one = await PartialFile.open(folder, digest);
  await using other = await PartialFile.open(folder, digest);
  assert.deepEqual([one.size, other.size], [4, 0]);
  await other.append(Buffer.from("x"));
  assert.equal(await textOf(one), "left");
});

test("the file of a killed process is taken over; that of a running one, and any other file, is not", async () => {
  const { pid } = spawnSync("true");
  const me = thisProcess();
  const dead = `.fixity-${digest.hex}-${newName({ ...me, pid })}.part`;
  const others = [`.fixity-${digest.hex}-${newName(me)}.part`, `.fixity-${digest.hex}-mine.part`, `.fixity-bbb.part`];
  for (const name of [dead, ...others]) await writeFile(join(folder, name), "bytes");
  {
    await using partial = await PartialFile.open(folder, digest);
    assert.equal(partial.size, 5);
    assert.equal(await textOf(partial), "bytes");
  }
  assert.deepEqual((await readdir(folder)).sort(), [...others, free].sort());
});
