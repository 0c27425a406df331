import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Terminal } from "../helpers/terminal.ts";

const [ONE, TWO, THREE, ABSENT] = ["one", "two", "three", "absent"].map((text) => sha256(text)) as [
  string,
  string,
  string,
  string,
];

async function filledStore(): Promise<StoreFolder> {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  const fixity = createFixity({ store });
  for (const text of ["one", "two", "three"]) await fixity.put(Buffer.from(text));
  return folder;
}

test("named files are removed, by digest, link or URL, and others stay", async () => {
  await using folder = await filledStore();
  const names = [`sha256:${ONE}`, `https://files.example.com/uploads/${TWO}.txt?download`];
  const { code, out, err } = await runCommand(["rm", "--yes", "--dir", folder.path, ...names]);
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(out.trimEnd().split("\n").toSorted(), [ONE, TWO].map((hex) => `removed  sha256:${hex}`).toSorted());
  assert.deepEqual(await folder.wholeBlobs(), new Set([THREE]));
});

test("a file that is not stored is reported, the others are removed, and the exit code is 1", async () => {
  await using folder = await filledStore();
  const { code, out } = await runCommand(["rm", "--yes", "--json", "--dir", folder.path, ABSENT, ONE]);
  assert.equal(code, 1);
  assert.deepEqual(
    new Set(jsonLines(out).map((line) => JSON.stringify(line))),
    new Set(
      [
        { status: "missing", digest: `sha256:${ABSENT}` },
        { status: "removed", digest: `sha256:${ONE}` },
        { status: "done", removed: 1, missing: 1, failed: 0 },
      ].map((line) => JSON.stringify(line)),
    ),
  );
  assert.equal(jsonLines(out).at(-1)?.["status"], "done");
});

test("a list on standard input can be the output of ls, and one wrong line removes nothing", async () => {
  await using folder = await filledStore();
  const { out } = await runCommand(["ls", "--dir", folder.path]);
  const wrong = await runCommand(["rm", "--yes", "--dir", folder.path, "-"], { input: `${out}readme.txt\n` });
  assert.deepEqual([wrong.code, wrong.out], [2, ""]);
  assert.match(wrong.err, /"readme.txt" is neither a digest/);
  assert.equal((await folder.wholeBlobs()).size, 3);
  const input = `# all of them\n\n${out.replaceAll("\n", "\r\n")}`;
  assert.equal((await runCommand(["rm", "--yes", "--dir", folder.path, "-"], { input })).code, 0);
  assert.equal((await folder.wholeBlobs()).size, 0);
});

test("without a terminal nothing is removed unless --yes is given", async () => {
  await using folder = await filledStore();
  const { code, out, err } = await runCommand(["rm", "--dir", folder.path, ONE]);
  assert.deepEqual([code, out], [2, ""]);
  assert.match(err, /there is no terminal to ask on: confirm with --yes/);
  assert.equal((await folder.wholeBlobs()).size, 3);
});

test("a terminal is asked, and only yes removes", needing("script"), async () => {
  await using folder = await filledStore();
  const args = ["rm", "--dir", folder.path, ONE];
  for (const [keys, code, left] of [
    ["\r", 1, 3],
    ["\x04", 1, 3],
    ["y\r", 0, 2],
  ] as const) {
    await using terminal = new Terminal(args);
    await terminal.shows(/This cannot be undone\. \[y\/N\] /);
    terminal.press(keys);
    assert.equal(await terminal.ended, code, terminal.text);
    assert.equal((await folder.wholeBlobs()).size, left);
  }
});

test("a mark of damage goes with the file, and a folder in its place is reported", async () => {
  await using folder = await filledStore();
  await folder.corrupt(ONE);
  const env = { UPLOAD_DIR: folder.path };
  await runCommand(["verify"], { env });
  const inPlace = `00${"f".repeat(62)}`;
  await mkdir(folder.blob(inPlace), { recursive: true });
  const { code, out } = await runCommand(["rm", "--yes", "--json", ONE, inPlace], { env });
  assert.equal(code, 1);
  assert.equal(jsonLines(out).at(-1)?.["failed"], 1, out);
  await using store = diskStore({ root: folder.path, durability: "none" });
  assert.equal(await store.documents?.read(`marks/damaged-${ONE}`), null);
});

test("a running service removes files with a token that has the right, and is not asked twice", async () => {
  await using folder = await filledStore();
  const env = { UPLOAD_TOKENS: "admin=secret-of-the-admin may=create|remove,ci=secret-of-the-ci may=create" };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const rm = (token: string) =>
    runCommand(["rm", "--yes", "--json", "--from", server.url, ONE, ABSENT], { env: { FIXITY_TOKEN: token } });
  const refused = await rm("secret-of-the-ci");
  assert.equal(refused.code, 2, refused.out + refused.err);
  assert.equal((await folder.wholeBlobs()).size, 3);
  const { code, out } = await rm("secret-of-the-admin");
  assert.equal(code, 1);
  assert.deepEqual(jsonLines(out).at(-1), { status: "done", removed: 1, missing: 1, failed: 0 });
  assert.equal((await folder.wholeBlobs()).size, 2);
  const nowhere = await runCommand(["rm", "--yes", "--from", `127.0.0.1:${await freePort()}`, ONE]);
  assert.deepEqual([nowhere.code, nowhere.out], [2, ""]);
  assert.match(nowhere.err, /cannot be reached \(connection refused\)/);
});
