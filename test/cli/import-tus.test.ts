/** `fixity import --tus`: the folders of tusd and of @tus/server. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

/** The description of an upload as tusd 2.9 writes it. It does not change while bytes arrive. */
function info(id: string, size: number, metadata: object, others: object = {}): string {
  const common = { ID: id, Size: size, SizeIsDeferred: false, Offset: 0, MetaData: metadata };
  const rest = { IsPartial: false, IsFinal: false, PartialUploads: null };
  return JSON.stringify({ ...common, ...rest, Storage: { Path: `/srv/tusd/${id}`, Type: "filestore" }, ...others });
}

async function importOf(folder: string, ...args: readonly string[]) {
  await using store = await StoreFolder.make();
  const env = { UPLOAD_DIR: store.path, UPLOAD_DURABILITY: "none", UPLOAD_PREFIX: "/files" };
  const { code, out, err } = await runCommand(["import", "--tus", folder, "--json", ...args], { env });
  const lines = jsonLines(out);
  const outcomes = lines
    .slice(0, -1)
    .map(({ file, status, link, reason }) => `${String(file)} ${String(status)} ${String(link ?? reason)}`);
  return { code, err, outcomes: outcomes.toSorted(), last: lines.at(-1), blobs: await store.wholeBlobs() };
}

test("finished uploads of tusd get links by their names, and nothing else of its folder is stored", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-tusd-"));
  const files: Readonly<Record<string, string>> = {
    aa: "hello",
    "aa.info": info("aa", 5, { filename: "Beach.PNG", filetype: "image/png" }),
    bb: "hel",
    "bb.info": info("bb", 5, { filename: "b.png" }),
    cc: "typed",
    "cc.info": info("cc", 5, { filetype: "image/jpeg" }),
    dd: "some",
    "dd.info": info("dd", 0, null as unknown as object, { SizeIsDeferred: true }),
    ee: "part",
    "ee.info": info("ee", 4, {}, { IsPartial: true }),
    "aa.lock": "1234",
    // an upload of a server that names uploads by their files, and which is JSON itself
    "data.json": '{"id":1}',
    "data.json.info": info("data.json", 8, { filename: "data.json" }),
    stray: "something else",
    // there can be no description of a name of this length
    ["z".repeat(255)]: "something else",
  };
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    for (const flags of [[], ["--link"]]) {
      const { code, outcomes, blobs, err } = await importOf(folder, ...flags);
      assert.equal(code, 0, err);
      const undescribed = "skipped no tus server has described it: there is neither its .info nor its .json";
      assert.deepEqual(outcomes, [
        `aa imported /files/${sha256("hello")}.png`,
        `aa.lock ${undescribed}`,
        "bb skipped an unfinished upload: 3 of 5 bytes",
        `cc imported /files/${sha256("typed")}.jpg`,
        `data.json imported /files/${sha256('{"id":1}')}.json`,
        "dd skipped an unfinished upload: 4 bytes of an unknown number",
        "ee skipped a part of an upload that was concatenated",
        `stray ${undescribed}`,
        `${"z".repeat(255)} ${undescribed}`,
      ]);
      assert.deepEqual(blobs, new Set(["hello", "typed", '{"id":1}'].map(sha256)));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("so do those of @tus/server, and a hostile description is none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-tus-"));
  try {
    const created = { offset: 0, creation_date: "2026-11-29T06:34:56.581Z" };
    const metadata = { filename: "../../a b.tar.gz" };
    await writeFile(join(folder, "abc.json"), JSON.stringify({ id: "abc", metadata, size: 5, ...created }));
    await writeFile(join(folder, "abc"), "hello");
    await writeFile(join(folder, "def.json"), JSON.stringify({ id: "def", size: 5, ...created }));
    await writeFile(join(folder, "def"), "");
    for (const [id, json] of [
      ["x1", "[".repeat(200_000)],
      ["x2", "null"],
      ["x3", '{"ID":"x3","Size":"5","MetaData":{}}'],
      ["x4", `{"ID":"x4","Size":5,"MetaData":{"filename":["a.png"]}}`],
      ["x5", `"${"x".repeat(300_000)}"`],
    ] as const) {
      await writeFile(join(folder, id), id === "x4" ? "world" : "hello");
      await writeFile(join(folder, `${id}.info`), json);
    }
    const { outcomes, blobs } = await importOf(folder);
    const statuses = outcomes.map((line) => line.split(" ").slice(0, 2).join(" "));
    assert.equal(outcomes[0], `abc imported /files/${sha256("hello")}.gz`);
    assert.deepEqual(
      statuses.filter((line) => !line.includes(".info")),
      ["abc imported", "def skipped", "x1 skipped", "x2 skipped", "x3 skipped", "x4 imported", "x5 skipped"],
    );
    assert.deepEqual(blobs, new Set(["hello", "world"].map(sha256)));
  } finally {
    await rm(folder, { recursive: true });
  }
});
