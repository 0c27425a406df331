/** The content of answers for people, shells, programs, and pages of other sites. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const PATH = `/uploads/${sha256("hello")}.txt`;

async function upload(url: string, headers: Record<string, string>): Promise<Response> {
  const disposition = { "content-disposition": 'attachment; filename="a.txt"' };
  return fetch(`${url}/uploads`, { method: "POST", body: "hello", headers: { ...disposition, ...headers } });
}

async function withServer(env: Record<string, string>, work: (server: ServerProcess) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    await using server = await ServerProcess.start({ dir: folder, env });
    await work(server);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("JSON ends with a newline, in successes and failures", async () => {
  await using service = await Service.start();
  const stored = await (await upload(service.url, {})).text();
  const failed = await (await fetch(`${service.url}/uploads/${"0".repeat(64)}`)).text();
  for (const text of [stored, failed]) {
    assert.ok(text.endsWith("}\n"), text);
    JSON.parse(text);
  }
});

test("a client that prefers plain text gets the link alone, by every way to upload", async () => {
  await using service = await Service.start();
  const form = new FormData();
  form.set("file", new File(["hello"], "a.txt"));
  const target = `${service.url}/uploads`;
  const complete = { "upload-complete": "?1" };
  for (const [method, url, body, extra] of [
    ["POST", `${target}?filename=a.txt`, "hello", {}],
    ["POST", target, form, {}],
    ["PUT", `${target}/a.txt`, "hello", {}],
    ["PUT", service.url + PATH, "hello", {}],
    ["POST", `${target}?filename=a.txt`, "hello", complete],
  ] as const) {
    const headers = { accept: "text/plain", ...extra };
    const response = await fetch(url, { method, body, headers });
    const what = `${method} ${url}`;
    assert.equal(await response.text(), `${PATH}\n`, what);
    assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8", what);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff", what);
  }
});

test("a client gets JSON unless it prefers plain text to JSON", async () => {
  await using service = await Service.start();
  const typeFor = async (accept: string): Promise<string | null> =>
    (await upload(service.url, { accept })).headers.get("content-type");
  for (const accept of [
    "*/*",
    "application/json, text/plain, */*",
    "text/*;q=0.5, application/json",
    "image/png",
    ";",
  ]) {
    assert.equal(await typeFor(accept), "application/json", accept);
  }
  for (const accept of ["text/plain", "text/plain, */*; q=0.01", "text/*", "application/json;q=0.5,text/plain;q=0.6"]) {
    assert.equal(await typeFor(accept), "text/plain; charset=utf-8", accept);
  }
});

test("a failure is a problem document also for a client that prefers plain text", async () => {
  await using service = await Service.start({ maxSize: 1 });
  const response = await upload(service.url, { accept: "text/plain" });
  assert.equal(response.headers.get("content-type"), "application/problem+json");
});

test("the bare link is absolute with a public URL, and in local mode under the host of the request", async () => {
  await using service = await Service.start({ publicUrl: "https://files.example.com" });
  assert.equal(
    await (await upload(service.url, { accept: "text/plain" })).text(),
    `https://files.example.com${PATH}\n`,
  );
  await withServer({}, async (server) => {
    assert.equal(await (await upload(server.url, { accept: "text/plain" })).text(), `${server.url}${PATH}\n`);
  });
  // Anybody can claim any host.
  await withServer({ UPLOAD_OPEN: "yes" }, async (server) => {
    assert.equal(await (await upload(server.url, { accept: "text/plain" })).text(), `${PATH}\n`);
  });
});

test("limits are stated for people and exactly", async () => {
  await using service = await Service.start({ maxSize: 1536 });
  const refused = await fetch(`${service.url}/uploads`, { method: "POST", body: Buffer.alloc(1537) });
  const problem = (await refused.json()) as { detail: string; limit: number };
  assert.equal(problem.detail, "The file is larger than the limit of 1.5 KiB (1,536 bytes).");
  assert.equal(problem.limit, 1536);
});

test("a browser that opens an address or sends a form gets a page for every failure", async () => {
  await using service = await Service.start({ maxSize: 1 });
  const form = new FormData();
  form.set("file", new File(["hello"], "a.txt"));
  for (const [method, path, status, body] of [
    ["GET", "/uploads", 405, undefined],
    ["GET", "/uploads/", 404, undefined],
    ["GET", "/uploads/name", 404, undefined],
    ["GET", PATH, 404, undefined],
    ["GET", "/uploads/in-progress/x", 404, undefined],
    ["POST", "/uploads", 413, form],
    ["POST", "/uploads", 415, new URLSearchParams({ upload: "photo.png" })],
  ] as const) {
    // Browsers send Origin with every form.
    const headers = { accept: BROWSER, ...(method === "POST" && { origin: service.url }) };
    const response = await fetch(service.url + path, { method, headers, body: body ?? null });
    const what = `${method} ${path}`;
    assert.deepEqual(
      [response.status, response.headers.get("content-type")],
      [status, "text/html; charset=utf-8"],
      what,
    );
    assert.equal(response.headers.get("vary"), "Accept", what);
    const page = await response.text();
    assert.match(page, /<h1>/, what);
    // An embedded service has no page at its root.
    assert.doesNotMatch(page, /<a /, what);
  }
  const program = await fetch(`${service.url}/uploads`, { method: "POST", body: form, headers: { accept: BROWSER } });
  assert.equal(program.headers.get("content-type"), "application/problem+json", "Java's client prefers HTML, too");
  const put = await fetch(`${service.url}/uploads/a.txt`, { method: "PUT", body: "xx", headers: { accept: BROWSER } });
  assert.equal(put.headers.get("content-type"), "application/problem+json", "only programs send PUT");
});

test("pages for failures of the server link to its upload page, relative to the address", async () => {
  await withServer({}, async (server) => {
    for (const [path, home] of [
      ["/nope", "./"],
      ["/nope/deeper/", "../../"],
      ["/uploads", "./"],
      ["/uploads/x?y=/z", "../"],
    ] as const) {
      const page = await (await fetch(server.url + path, { headers: { accept: BROWSER } })).text();
      assert.ok(page.includes(`<a href="${home}">Upload a file</a>`), `${path}: ${page}`);
      const plain = await fetch(server.url + path);
      assert.equal(plain.headers.get("content-type"), "application/problem+json", path);
    }
  });
});

test("a PUT to the collection says how curl can upload", async () => {
  await using service = await Service.start();
  const response = await fetch(`${service.url}/uploads`, { method: "PUT", body: "hello" });
  assert.deepEqual([response.status, response.headers.get("allow")], [405, "OPTIONS, POST"]);
  const { detail } = (await response.json()) as { detail: string };
  assert.equal(
    detail,
    "PUT is not allowed here. Allowed methods: OPTIONS, POST. To store a file by PUT, add a slash: curl -T FILE URL/",
  );
});

const APP = "https://app.example.com";

/** What pages of other sites may do with the answer. */
const allowed = ({ headers }: Response): string | null => headers.get("access-control-allow-origin");

test("pages of every site may read what everybody may read, whatever the answer, and nothing else", async () => {
  await using service = await Service.start();
  const headers = { origin: APP };
  assert.equal(allowed(await upload(service.url, {})), null);
  assert.equal(allowed(await upload(service.url, headers)), null);
  const etag = `"${sha256("hello")}"`;
  for (const [method, path, fields, status] of [
    ["GET", PATH, {}, 200],
    ["HEAD", PATH, {}, 200],
    ["GET", PATH, { range: "bytes=0-1" }, 206],
    ["GET", PATH, { range: "bytes=9-" }, 416],
    ["GET", PATH, { "if-none-match": etag }, 304],
    ["GET", `/uploads/${"0".repeat(64)}`, {}, 404],
  ] as const) {
    for (const origin of [headers, {}]) {
      const response = await fetch(service.url + path, { method, headers: { ...fields, ...origin } });
      const what = `${method} ${path} ${JSON.stringify({ ...fields, ...origin })}`;
      // Sent also without Origin: a shared cache reuses the answer for pages of every site.
      assert.deepEqual([response.status, allowed(response)], [status, "*"], what);
      assert.doesNotMatch(response.headers.get("vary") ?? "", /origin/i, what);
    }
  }
  for (const [method, path] of [
    ["DELETE", PATH],
    ["GET", "/uploads"],
    ["GET", "/uploads/name"],
    ["PUT", PATH],
  ] as const) {
    const body = method === "PUT" ? "hello" : null;
    assert.equal(allowed(await fetch(service.url + path, { method, headers, body })), null, `${method} ${path}`);
  }
});

test("a preflight for reading passes from every site, and one for anything else does not", async () => {
  await using service = await Service.start();
  const ask = async (method: string, path = PATH): Promise<Headers> =>
    (
      await fetch(service.url + path, {
        method: "OPTIONS",
        headers: { origin: APP, "access-control-request-method": method, "access-control-request-headers": "if-range" },
      })
    ).headers;
  const read = await ask("GET");
  assert.equal(read.get("access-control-allow-origin"), "*");
  assert.equal(read.get("access-control-allow-methods"), "GET, HEAD");
  assert.match(read.get("access-control-allow-headers") ?? "", /If-Range/);
  for (const method of ["PUT", "DELETE", "PATCH"]) {
    assert.equal((await ask(method)).get("access-control-allow-origin"), null, method);
  }
  assert.equal((await ask("GET", "/uploads/in-progress/x")).get("access-control-allow-origin"), null);
});

test("pages of other sites may not read what only some may read", async () => {
  const key = "a key for tests a key for tests a key";
  await using service = await Service.start({ reads: "signed", linkKeys: [key] });
  await service.fixity.put(Buffer.from("hello"));
  const answer = await fetch(service.url + PATH, { headers: { origin: APP } });
  assert.deepEqual([answer.status, allowed(answer)], [404, null]);
  const headers = { origin: APP, "access-control-request-method": "GET" };
  assert.equal(allowed(await fetch(service.url + PATH, { method: "OPTIONS", headers })), null);
});

test("in local mode pages of other sites may read nothing, until the server has a public URL", async () => {
  const env = { UPLOAD_PUBLIC_URL: "https://files.example.com" };
  for (const [settings, expected] of [
    [{}, null],
    [{ UPLOAD_CORS_ORIGINS: APP }, "*"],
    [env, "*"],
  ] as const) {
    await withServer(settings, async (server) => {
      await upload(server.url, {});
      assert.equal(allowed(await fetch(server.url + PATH, { headers: { origin: APP } })), expected);
    });
  }
});
