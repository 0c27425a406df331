/** Tokens of a running server: removed during an upload, sent as passwords, and never in its log. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { createFixity, Digest } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const run = promisify(execFile);

const TOKEN = "s3cret-of-the-token-ci";
const OTHER = "s3cret-of-the-token-ops";
const PERMIT_KEY = "s3cret key for permits that is long";
const LINK_KEY = "s3cret key for links that is long!!";

function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}

test("a token that is removed may finish its running request, and is refused at the next", async () => {
  await using folder = await StoreFolder.make();
  const file = `${folder.path}.tokens`;
  await writeFile(file, `ci=${TOKEN}\nops=${OTHER}\n`);
  await using server = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_TOKENS_FILE: file } });
  const created = await fetch(`${server.url}/uploads`, {
    method: "POST",
    body: "abc",
    headers: { ...bearer(TOKEN), "Upload-Complete": "?0" },
  });
  const { pathname } = new URL(created.headers.get("location") ?? "", server.url);
  const head = (offset: number): string =>
    `PATCH ${pathname} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nUpload-Offset: ${offset}\r\n` +
    "Upload-Complete: ?0\r\nContent-Type: application/partial-upload\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  await using running = await RawClient.open(server.port);
  await running.send(head(3));
  assert.equal((await running.answer()).status, 100);
  await writeFile(file, `ops=${OTHER}\n`);
  process.kill(server.pid, "SIGHUP");
  await until(async () => /"tokens":\["ops"\]/.test(server.output));
  await running.send("def");
  assert.equal((await running.answer()).status, 204);
  await using next = await RawClient.open(server.port);
  await next.send(head(6));
  assert.equal((await next.answer()).status, 401);
  // nor does the upload exist for another token
  const seen = await fetch(server.url + pathname, { method: "HEAD", headers: bearer(OTHER) });
  assert.equal(seen.status, 404);
  await writeFile(file, `ci=${TOKEN}\n`);
  process.kill(server.pid, "SIGHUP");
  await until(async () => /"tokens":\["ci"\]/.test(server.output));
  const again = await fetch(server.url + pathname, { method: "HEAD", headers: bearer(TOKEN) });
  assert.equal(again.headers.get("upload-offset"), "6");
});

test("curl sends a token as a password", async () => {
  await using service = await Service.start({ tokens: [`ci=${TOKEN}`], log: () => {} });
  const curl = async (...args: string[]): Promise<string> => {
    const options = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "abc", "-H", "Content-Type: text/plain"]; // prettier-ignore
    return (await run("curl", [...options, ...args, `${service.url}/uploads`])).stdout;
  };
  assert.equal(await curl(), "401");
  assert.equal(await curl("-u", `:${TOKEN}x`), "401");
  assert.equal(await curl("-u", `:${TOKEN}`), "201");
  assert.equal(await curl("-u", `anybody:${TOKEN}`), "200");
});

test("a page of another site cannot use a password that the browser adds, whatever crossSite says", async () => {
  for (const crossSite of ["refuse", "allow"] as const) {
    await using service = await Service.start({ tokens: [`ci=${TOKEN}`], crossSite, log: () => {} });
    const post = async (authorization: string, fields: Readonly<Record<string, string>>): Promise<string> => {
      const headers = { authorization, ...fields };
      const response = await fetch(`${service.url}/uploads`, { method: "POST", body: "abc", headers });
      return response.ok ? "stored" : ((await response.json()) as { code: string }).code;
    };
    const basic = `Basic ${Buffer.from(`:${TOKEN}`).toString("base64")}`;
    for (const fields of [{ "sec-fetch-site": "cross-site" }, { origin: "https://evil.example" }, { origin: "null" }]) {
      assert.equal(await post(basic, fields), "cross-site-request");
      assert.equal(await post(`Bearer ${TOKEN}`, fields), "stored");
    }
    assert.equal(await post(basic, { "sec-fetch-site": "same-origin" }), "stored");
    assert.equal(await post(basic, {}), "stored");
  }
});

for (const format of ["json", "pretty"] as const) {
  test(`no line of the ${format} log has a token, a permit, a signature or the id of an upload`, async () => {
    await using folder = await StoreFolder.make();
    await using server = await ServerProcess.start({
      dir: join(folder.path, "data"),
      env: {
        UPLOAD_TOKENS: `ci=${TOKEN} max-open=2,ops=${OTHER} may=create|read|remove`,
        UPLOAD_PERMIT_KEYS: PERMIT_KEY,
        UPLOAD_LINK_KEYS: LINK_KEY,
        UPLOAD_READS: "signed",
        UPLOAD_LOG_LEVEL: "debug",
        UPLOAD_LOG_FORMAT: format,
      },
    });
    const keys = createFixity({ store: memoryStore(), permitKeys: [PERMIT_KEY], linkKeys: [LINK_KEY] });
    const { permit } = keys.permit({ maxSize: 1000, expires: 60_000, once: true });
    const signed = keys.sign(Digest.parse(`sha256:${sha256("abc")}`), { expires: 60_000 });
    const signature = new URL(signed, server.url).searchParams.get("signature") ?? assert.fail();
    const secrets = [
      TOKEN,
      OTHER,
      PERMIT_KEY,
      LINK_KEY,
      permit,
      permit.split(".")[2] ?? "",
      signature,
      signature.slice(0, 20),
    ];
    const call = async (method: string, path: string, headers: Record<string, string> = {}): Promise<Response> => {
      const body = ["POST", "PUT", "PATCH"].includes(method) ? "abc" : undefined;
      return fetch(server.url + path, { method, headers, ...(body !== undefined && { body }) });
    };
    const statuses: number[] = [];
    const basic = `Basic ${Buffer.from(`:${TOKEN}`).toString("base64")}`;
    for (const authorization of [
      `Bearer ${TOKEN}`,
      `Bearer ${OTHER}`,
      `Bearer ${permit}`,
      basic,
      `Bearer ${permit}x`,
    ]) {
      statuses.push((await call("POST", "/uploads", { authorization })).status);
    }
    assert.deepEqual(statuses, [201, 201, 201, 201, 401]);
    assert.equal((await call("GET", signed)).status, 200);
    for (const path of [`${signed}&x=1`, `${signed}x`, `${signed}#${signature}`]) {
      await call("GET", path);
      await call("DELETE", path, bearer(OTHER));
    }
    await call("GET", `/uploads?token=${TOKEN}&permit=${permit}`, bearer(TOKEN));
    for (const protocol of [{ "Upload-Complete": "?0" }, { "Tus-Resumable": "1.0.0", "Upload-Length": "9" }]) {
      const type = { "Content-Type": "application/offset+octet-stream" };
      const created = await call("POST", "/uploads", { ...bearer(TOKEN), ...type, ...protocol });
      const { pathname } = new URL(created.headers.get("location") ?? "", server.url);
      const id = pathname.split("/").at(-1) ?? "";
      assert.match(id, /^[0-9a-f]{32}$/);
      secrets.push(id);
      const version: Record<string, string> = "Tus-Resumable" in protocol ? { "Tus-Resumable": "1.0.0" } : {};
      for (const method of ["HEAD", "GET", "PATCH", "PUT", "POST", "OPTIONS", "DELETE"]) {
        for (const who of [bearer(OTHER), {}, bearer(TOKEN)]) await call(method, pathname, { ...version, ...who });
      }
      await call("HEAD", `${pathname}/more?x=${pathname}`, bearer(TOKEN));
      await call("HEAD", `/x${pathname}`, bearer(TOKEN));
    }
    await using raw = await RawClient.open(server.port);
    await raw.send(`GET ${signed} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nbroken field\r\n\r\n`);
    await raw.closed();
    await server.stop();
    assert.match(server.output, format === "json" ? /"principal":"permit:/ : /201 POST .*, token:ci, /);
    for (const secret of secrets) assert.ok(!server.output.includes(secret), `${secret}\n${server.output}`);
    assert.ok(!server.output.includes("s3cret"), server.output);
  });
}
