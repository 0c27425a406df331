import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const KEY = "s3cret key for permits s3cret key for permits";
const env = { UPLOAD_PERMIT_KEYS: KEY };

test("the curl line of a permit uploads a file, and put takes a permit as its token", needing("curl"), async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const file = `${folder.path}.txt`;
  await writeFile(file, "some text");
  const args = ["permit", "--max-size", "1KiB", "--expires", "1h", "--name", "partner", "--url", server.url];
  const { code, out, err } = await runCommand(args, { env });
  assert.deepEqual([code, err], [0, ""]);
  const rows = new Map(
    out
      .trimEnd()
      .split("\n")
      .map((line) => [line.slice(0, 9).trim(), line.slice(10)]),
  );
  const line = (rows.get("curl") ?? "").replace("FILE", file);
  const { stdout } = await promisify(execFile)("sh", ["-c", line]);
  assert.match(stdout, /^\S*\/uploads\/[0-9a-f]{64}\.txt\n$/);
  await writeFile(file, "x".repeat(1025));
  await assert.rejects(promisify(execFile)("sh", ["-c", line]), (error: { code: number; stdout: string }) => {
    assert.deepEqual([error.code, (JSON.parse(error.stdout) as { code: string }).code], [22, "size-limit-exceeded"]);
    return true;
  });
  await writeFile(file, "some text");
  const token = rows.get("permit") ?? "";
  const put = await runCommand(["put", "--to", server.url, file], { env: { FIXITY_TOKEN: token, HOME: folder.path } });
  assert.deepEqual(put.code, 0, put.err);
  assert.equal(rows.get("page"), `${server.url}/#permit=${token}`);
  assert.deepEqual(
    ["url", "method", "header", "max size", "digest", "types", "name", "uploads"].map((label) => rows.get(label)),
    [
      `${server.url}/uploads`,
      "POST",
      `Authorization: Bearer ${token}`,
      "1 KiB (1,024 bytes)",
      "any",
      "those of the service",
      "partner",
      "any number",
    ],
  );
  assert.ok(Date.parse(rows.get("expires") ?? "") > Date.now());
  assert.ok(!server.output.includes(token), server.output);
});

test("--json states URL, method, fields, limits and expiry", async () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  const limits = ["--digest", digest, "--max-size", "10MiB", "--types", "image/*, .docx", "--once"];
  const args = ["permit", ...limits, "--expires", "7d", "--url", "https://files.example.com/cdn/uploads", "--json"];
  const { code, out } = await runCommand(args, { env });
  assert.equal(code, 0);
  const [{ permit, expires, name, curl, ...facts } = {}] = jsonLines(out);
  assert.deepEqual(facts, {
    url: "https://files.example.com/cdn/uploads",
    method: "POST",
    headers: { Authorization: `Bearer ${String(permit)}` },
    digest,
    maxSize: 10 * 1024 ** 2,
    types: ["image/*", ".docx"],
    once: true,
    page: `https://files.example.com/cdn/#permit=${String(permit)}`,
  });
  assert.match(String(name), /^permit-[\w-]{12}$/);
  assert.ok(String(curl).includes(`Bearer ${String(permit)}`));
  assert.ok(Date.parse(String(expires)) > Date.now());
});

test("mistakes exit with 2, and name the setting but no key", async () => {
  for (const [args, given, message] of [
    [["--max-size", "1"], env, /required option '--expires <time>'/],
    [["--expires", "1h"], env, /needs a digest or a maxSize/],
    [["--expires", "1h", "--max-size", "1"], {}, /no keys to sign with\. Set UPLOAD_PERMIT_KEYS or/],
    [["--expires", "1h", "--max-size", "1"], { UPLOAD_PERMIT_KEYS: "s3cret" }, /UPLOAD_PERMIT_KEYS: Key 1 for permits/],
    [["--expires", "367d", "--max-size", "1"], env, /at most 366 days/],
    [["--expires", "1h", "--max-size", "big"], env, /--max-size must be a size/],
    [["--expires", "1h", "--types", "images"], env, /--types must be types/],
    [["--expires", "1h", "--digest", "abc"], env, /A digest is sha256/],
    [["--expires", "1h", "--max-size", "1", "--name", "a\nb"], env, /name must have 1 to 128 characters/],
  ] as const) {
    const { code, out, err } = await runCommand(["permit", ...args], { env: given });
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, message);
    assert.ok(!err.includes("s3cret"), err);
  }
});
