import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const KEY = "s3cret key for links s3cret key for links";
const SEGMENT = `${"ab".repeat(32)}.pdf`;

test("a signed link is read from a server that has the key, by get and by browsers", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_READS: "signed", UPLOAD_LINK_KEYS: KEY };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const response = await fetch(`${server.url}/uploads?filename=a.txt`, { method: "POST", body: "some text" });
  const { url } = (await response.json()) as { url: string };
  const link = new URL(url, server.url).href;
  assert.equal((await fetch(link)).status, 404);
  const args = ["sign", link, "--expires", "1h", "--filename", "a b.txt", "--download"];
  const { code, out, err } = await runCommand(args, { env: { UPLOAD_LINK_KEYS: KEY } });
  assert.deepEqual([code, err], [0, ""]);
  assert.ok(out.startsWith(`${link.split("?")[0]}?download&filename=a%20b.txt&expires=`), out);
  const read = await fetch(out.trim());
  assert.deepEqual([read.status, await read.text()], [200, "some text"]);
  assert.match(read.headers.get("content-disposition") ?? "", /^attachment; filename="a b\.txt"/);
  const got = await runCommand(["get", out.trim(), "-o", "-"]);
  assert.deepEqual([got.code, got.out], [0, "some text"]);
});

test("a signed link to the page about a file leads get and stat to its bytes", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_READS: "signed", UPLOAD_LINK_KEYS: KEY };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const form = new FormData();
  form.set("upload", new Blob(["behind a page"]), "a.txt");
  const { url } = (await (await fetch(`${server.url}/uploads`, { method: "POST", body: form })).json()) as {
    url: string;
  };
  const link = new URL(url, server.url).href;
  const user = { env: { UPLOAD_LINK_KEYS: KEY, XDG_CONFIG_HOME: "/nowhere" } };
  for (const flags of [["--view"], ["--view", "--filename", "b & c.txt"], []]) {
    const signed = (await runCommand(["sign", link, "--expires", "1h", ...flags], user)).out.trim();
    const got = await runCommand(["get", "-o", "-", signed], user);
    assert.deepEqual([got.code, got.out], [0, "behind a page"], got.err);
    assert.match((await runCommand(["stat", signed], user)).out, /^stored/);
  }
  const broken = (await runCommand(["sign", link, "--expires", "1h", "--view"], user)).out.trim().replace(/.$/, "_");
  assert.notEqual((await runCommand(["get", "-o", "-", broken], user)).code, 0);
});

test("--json states what the link allows", async () => {
  await using folder = await StoreFolder.make();
  const file = `${folder.path}.keys`;
  await writeFile(file, `# the newest first\n${KEY}\nan old key an old key an old key\n`);
  const args = [
    "sign",
    SEGMENT,
    "--expires",
    "1h",
    "--view",
    "--url",
    "files.example.com",
    "--keys-file",
    file,
    "--json",
  ];
  const { code, out } = await runCommand(args);
  assert.equal(code, 0);
  const [{ url, expires, ...facts } = {}] = jsonLines(out);
  assert.deepEqual(facts, { digest: `sha256:${"ab".repeat(32)}`, filename: null, download: false, view: true });
  assert.match(String(url), new RegExp(`^https://files\\.example\\.com/uploads/${SEGMENT}\\?view&expires=\\d+&key=`));
  assert.equal(Number(new URL(String(url)).searchParams.get("expires")) * 1000, Date.parse(String(expires)));
});

test("mistakes exit with 2, and name the setting but no key", async () => {
  const env = { UPLOAD_LINK_KEYS: KEY };
  for (const [args, given, message] of [
    [[SEGMENT, "--expires", "1h"], {}, /no keys to sign with\. Set UPLOAD_LINK_KEYS or UPLOAD_LINK_KEYS_FILE/],
    [[SEGMENT, "--expires", "1h"], { UPLOAD_LINK_KEYS: "s3cret" }, /UPLOAD_LINK_KEYS: Key 1 for links has 6/],
    [[SEGMENT, "--expires", "1h", "--keys-file", "/nowhere"], env, /Cannot read --keys-file=\/nowhere \(ENOENT/],
    [[SEGMENT, "--expires", "soon"], env, /--expires must be a duration/],
    [[SEGMENT, "--expires", "0"], env, /expires must be .* in the future/],
    [[SEGMENT], env, /required option '--expires <time>'/],
    [["nothing", "--expires", "1h"], env, /"nothing" is neither a link nor a digest/],
    [[SEGMENT, "--expires", "1h", "--download", "--view"], env, /contradict/],
    [[SEGMENT, "--expires", "1h", "--filename", "/"], env, /filename has no visible character/],
  ] as const) {
    const { code, out, err } = await runCommand(["sign", ...args], { env: given });
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, message);
    assert.ok(!err.includes("s3cret"), err);
  }
});
