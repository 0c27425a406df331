import assert from "node:assert/strict";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const TUS = { "Tus-Resumable": "1.0.0" };
const TOKEN = "s3cret-of-the-first-token";

/** Creates an upload and returns its URL and id. */
async function createUpload(server: ServerProcess, headers: Record<string, string> = {}) {
  const response = await fetch(`${server.url}/uploads`, {
    method: "POST",
    headers: { ...TUS, "Upload-Length": "100", ...headers },
  });
  assert.equal(response.status, 201);
  const url = new URL(response.headers.get("location") ?? "", server.url);
  return { url: url.href, id: url.pathname.split("/").at(-1) ?? "" };
}

test("the log has the first 8 digits of an upload's id, also in the errors of the store", async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_LOG_LEVEL: "debug" } });
  const { url, id } = await createUpload(server);
  const patch = { ...TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
  const statuses = [
    (await fetch(url, { method: "PATCH", headers: patch, body: "some bytes" })).status,
    (await fetch(url, { method: "HEAD", headers: TUS })).status,
    (await fetch(`${url}?a=${id}`, { method: "PUT", body: "x" })).status,
    (await fetch(`${url}0`)).status,
    (await fetch(url.replace("in-progress", "else"))).status,
  ];
  assert.deepEqual(statuses.slice(0, 2), [204, 200]);
  await using client = await RawClient.open(server.port);
  await client.send(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: a b\r\nX: ${id}\r\n\r\n`);
  await client.answer();
  // a file in place of the upload's folder makes every call fail, with its path in the error
  const path = join(folder.path, "uploads", id);
  await rm(path, { recursive: true });
  await writeFile(path, "");
  const failed = await fetch(url, { method: "HEAD", headers: TUS });
  assert.ok(failed.status >= 500, `${failed.status}`);
  await until(async () => server.output.includes('"level":"error"'));
  assert.ok(server.output.includes(`/uploads/in-progress/${id.slice(0, 8)}…`), server.output);
  assert.ok(!server.output.includes(id.slice(0, 9)), server.output);
  // the commands that work on the store report the same errors
  const { out, err } = await runCommand(["gc", "--dir", folder.path]);
  assert.match(err, /fixity: /);
  assert.ok(!(out + err).includes(id.slice(0, 9)), out + err);
});

test("no credential of a request is logged, in any form", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_LOG_LEVEL: "debug", UPLOAD_TOKENS: `ci=${TOKEN}` };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  for (const credential of [TOKEN, `${TOKEN}-wrong`, "fxp1.s3cret.s3cret"]) {
    const basic = Buffer.from(`user:${credential}`).toString("base64");
    for (const authorization of [`Bearer ${credential}`, `Basic ${basic}`, `Other ${credential}`, credential]) {
      const headers = { authorization };
      await fetch(`${server.url}/uploads?permit=${credential}`, { method: "POST", body: "x", headers });
      await fetch(`${server.url}/uploads/${"0".repeat(64)}?signature=${credential}`, { headers });
      await fetch(`${server.url}/?token=${credential}`, { headers });
    }
    await using client = await RawClient.open(server.port);
    await client.send(`GET / HTTP/1.1\r\nHost: a b\r\nAuthorization: Bearer ${credential}\r\n\r\n`);
    await client.answer();
    await using broken = await RawClient.open(server.port);
    await broken.send(`GET / HTTP/1.1\r\nAuthorization: Bearer ${credential}\r\nbad header\u0000: x\r\n\r\n`);
    await broken.answer();
  }
  assert.ok(server.output.includes("POST"), server.output);
  assert.ok(!server.output.includes("s3cret"), server.output);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.ok((await readdir(folder.path)).length > 0);
});
