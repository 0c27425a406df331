import assert from "node:assert/strict";
import { chmod, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { sha256 } from "../helpers/service.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const TEXTS = ["one", "two"];
const [ONE = "", TWO = ""] = TEXTS.map((text) => sha256(text));
const ABSENT = sha256("never stored");
const REASON = ["--reason", "court order 17/2026"];

async function storeOfTexts() {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  await using fixity = createFixity({ store });
  for (const text of TEXTS) await fixity.put(Buffer.from(text));
  const env = { UPLOAD_DIR: folder.path };
  return {
    folder,
    run: (args: readonly string[], input = "") => runCommand(args, { env, input }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("block and unblock take digests, links and lists, and can be repeated", async () => {
  await using place = await storeOfTexts();
  const link = `https://files.example.com/uploads/${ONE}.png?download`;
  for (let times = 0; times < 2; times += 1) {
    const { code, out, err } = await place.run(
      ["block", link, "-", ...REASON],
      `sha256:${TWO}\n# a note\n${ABSENT}  x\n`,
    );
    assert.deepEqual([code, err], [0, ""]);
    assert.deepEqual(
      out.trimEnd().split("\n").toSorted(),
      [ONE, TWO, ABSENT].map((hex) => `blocked    sha256:${hex}`).toSorted(),
    );
  }
  const listed = await place.run(["block", "--list"]);
  assert.equal(listed.out.trimEnd().split("\n").length, 3);
  const line = new RegExp(`^sha256:${ONE}  \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d  by \\S+  court order 17/2026$`, "m");
  assert.match(listed.out, line);
  const ended = await place.run(["unblock", ONE, ABSENT]);
  assert.equal(ended.code, 0);
  assert.equal((await place.run(["unblock", ONE])).out, `not blocked  sha256:${ONE}\n`);
  assert.match((await place.run(["block", "--list"])).out, new RegExp(`^sha256:${TWO} .*\n$`));
});

test("with --json each block is an object", async () => {
  await using place = await storeOfTexts();
  const by = ["--by", "legal\u202edesk"];
  const [blocked] = jsonLines((await place.run(["block", ONE, ...REASON, ...by, "--json"])).out);
  const facts = { digest: `sha256:${ONE}`, reason: REASON[1], by: by[1] };
  assert.deepEqual({ ...blocked, time: null }, { status: "blocked", ...facts, time: null });
  const [listed] = jsonLines((await place.run(["block", "--list", "--json"])).out);
  assert.deepEqual(listed, { ...facts, time: blocked?.["time"] });
  assert.match((await place.run(["block", "--list"])).out, /legal\\u\{202e\}desk/, "no text changes the terminal");
  const json = jsonLines((await place.run(["unblock", ONE, TWO, "--json"])).out);
  assert.deepEqual(json.map(({ status }) => String(status)).toSorted(), ["not-blocked", "unblocked"]);
});

test("a mistake blocks nothing", async () => {
  await using place = await storeOfTexts();
  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [["block", ONE], /--reason/],
    [["block", ...REASON], /Name the files/],
    [["block", ONE, "abc", ...REASON], /neither a digest/],
    [["block", ONE, "--reason", " "], /1 to 1000 characters/],
    [["block", ONE, "--list"], /--list lists all/],
    [["unblock"], /missing required argument/],
    [["block", ONE, ...REASON, "--dir", "/nowhere/else"], /There is no store/],
  ];
  for (const [args, expected] of mistakes) {
    const { code, out, err } = await place.run(args);
    assert.deepEqual([code, out], [2, ""], err);
    assert.match(err, expected);
  }
  assert.deepEqual(await place.run(["block", "--list"]), { code: 0, out: "", err: "" });
});

test("a running server refuses what the command has blocked", async () => {
  await using place = await storeOfTexts();
  const env = { UPLOAD_CACHE_TAGS: "yes" };
  await using server = await ServerProcess.start({ dir: place.folder.path, env });
  const link = `${server.url}/uploads/${ONE}`;
  assert.equal((await place.run(["block", ONE, ...REASON])).code, 0);
  // it has listed no marks yet, so it does so before its first read
  const refused = await fetch(link);
  assert.deepEqual([refused.status, refused.headers.get("cache-tag")], [451, ONE]);
  while (!server.output.includes("caches must drop a file")) await nextTurn();
  assert.match(server.output, new RegExp(`"tag":"${ONE}","reason":"blocked"`));
  assert.equal((await fetch(link, { method: "PUT", body: "one" })).status, 451);
  assert.equal((await fetch(`${server.url}/uploads/${TWO}`)).status, 200);
});

test("verify does not repair what is blocked, and does not report it as missing", async () => {
  await using place = await storeOfTexts();
  await using backup = await storeOfTexts();
  await chmod(place.folder.blob(ONE), 0o644);
  await writeFile(place.folder.blob(ONE), "0ne");
  await rm(place.folder.blob(TWO));
  await place.run(["block", ONE, TWO, ...REASON]);
  for (const repair of [[], ["--repair-from", backup.folder.path]]) {
    const { code, out } = await place.run(["verify", ONE, TWO, ...repair]);
    assert.equal(code, 0, out);
    assert.match(out, new RegExp(`^blocked {5}sha256:${ONE}  3 bytes, its bytes are those of`, "m"));
    assert.match(out, new RegExp(`^blocked {5}sha256:${TWO}  missing$`, "m"));
    assert.match(out, /2 blocked$/m);
  }
  const { code, out } = await place.run(["verify", "--json", "--repair-from", backup.folder.path]);
  assert.equal(code, 0);
  assert.equal(jsonLines(out).at(-1)?.["blocked"], 1);
  await place.run(["unblock", ONE, TWO]);
  assert.match((await place.run(["verify", ONE, TWO, "--repair-from", backup.folder.path])).out, /2 repaired$/m);
});
