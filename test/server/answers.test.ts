import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { fileHead, formOf, sha256 } from "../helpers/service.ts";
import { settled, until } from "../helpers/settled.ts";

const TOKEN = "a-token-that-must-not-be-logged";

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** The log lines so far, each parsed. Waits until there are `count` of them. */
async function logLines(server: ServerProcess, count: number): Promise<readonly Record<string, unknown>[]> {
  const lines = async (): Promise<string[]> => server.output.split("\n").filter((line) => line.startsWith("{"));
  const found = await settled(lines, ({ length }) => length >= count);
  assert.ok(found.length >= count, `no ${count} lines: ${server.output}`);
  return found.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("an upload is logged in one line with its facts", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "log") });
  await fetch(`${server.url}/uploads`, { method: "POST", body: "hello" });
  const [line] = await logLines(server, 1);
  const { level, method, path, status, digest, size, existed, received, id, ms } = line ?? {};
  assert.deepEqual(
    { level, method, path, status, digest, size, existed, received },
    {
      level: "info",
      method: "POST",
      path: "/uploads",
      status: 201,
      digest: `sha256:${sha256("hello")}`,
      size: 5,
      existed: false,
      received: 5,
    },
  );
  assert.equal(typeof id, "string");
  assert.equal(typeof ms, "number");
});

test("a tus request gets Tus-Resumable on every path, and other requests do not", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "tus") });
  for (const [method, path, status] of [
    ["GET", "/uploads", 405],
    ["GET", "/elsewhere", 404],
    ["HEAD", "/elsewhere", 404],
    ["POST", "/elsewhere", 404],
    ["PATCH", "/elsewhere", 404],
    ["OPTIONS", "/elsewhere", 404],
    ["GET", "/healthz", 200],
    ["HEAD", "/healthz", 200],
    ["GET", "/readyz", 200],
    ["HEAD", "/readyz", 200],
  ] as const) {
    const answer = await fetch(server.url + path, { method, headers: { "tus-resumable": "1.0.0" } });
    assert.deepEqual([answer.status, answer.headers.get("tus-resumable")], [status, "1.0.0"], `${method} ${path}`);
    const plain = await fetch(server.url + path, { method });
    assert.equal(plain.headers.get("tus-resumable"), null);
  }
});

test("the server's own paths state their methods, and where files are uploaded", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "methods") });
  for (const path of ["/", "/healthz", "/readyz?verbose", "/openapi.json", "/page/index.js"]) {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const response = await fetch(server.url + path, { method });
      assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD"], `${method} ${path}`);
      const { code, detail } = (await response.json()) as Record<string, string>;
      assert.equal(code, "method-not-allowed");
      assert.match(detail ?? "", /Files are uploaded to \/uploads\./);
    }
  }
  for (const path of ["/page/none.js", "/healthz/", "/pages"]) {
    assert.equal((await fetch(server.url + path)).status, 404, path);
  }
  const { status } = await fetch(`${server.url}/healthz/`, { method: "POST" });
  assert.equal(status, 404);
});

test("a failure can be found in the log by the id in the response", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "ids") });
  const failures = [
    ["GET", "/uploads/nonsense", {}, "not-found"],
    ["PUT", "/uploads", {}, "method-not-allowed"],
    ["POST", "/uploads", { "tus-resumable": "0.2.0" }, "unsupported-version"],
    ["DELETE", `/uploads/in-progress/${"0".repeat(32)}`, { "tus-resumable": "1.0.0" }, "upload-not-found"],
    ["GET", "/nowhere", {}, "not-found"],
    ["POST", "/nowhere", {}, "not-found"],
    ["GET", "/%zz", {}, "invalid-request"],
  ] as const;
  for (const [index, [method, path, fields, code]] of failures.entries()) {
    const headers = { ...fields, "x-request-id": "forged" };
    const response = await fetch(server.url + path, { method, headers });
    const line = (await logLines(server, index + 1))[index];
    assert.equal(line?.["id"], response.headers.get("x-request-id"), path);
    assert.notEqual(line?.["id"], "forged");
    // of an upload's id, the log has the beginning only
    const logged = path.replace("0".repeat(32), `${"0".repeat(8)}…`);
    assert.deepEqual([line?.["method"], line?.["path"], line?.["status"]], [method, logged, response.status]);
    assert.equal(line?.["code"], code);
  }
});

for (const format of ["json", "pretty"]) {
  test(`hostile text breaks no line of a ${format} log, and no token is in it`, async () => {
    const env = { UPLOAD_LOG_FORMAT: format, UPLOAD_TOKENS: TOKEN, UPLOAD_LOG_LEVEL: "debug" };
    await using server = await ServerProcess.start({ dir: join(folder, format), env });
    const { boundary, body } = formOf([{ head: fileHead("\u001b[31mred\u0007\u202e.png"), content: "x" }]);
    const type = `multipart/form-data; boundary=${boundary}`;
    const authorization = `Bearer ${TOKEN}`;
    const sent = await fetch(`${server.url}/uploads`, {
      method: "POST",
      body,
      headers: { "content-type": type, authorization },
    });
    assert.equal(sent.status, 201);
    for (const path of [
      "/uploads/%0a%1b[2J",
      "/uploads/\u0080\u009b2J\u00e9",
      "/nowhere/\u009b2J?x=\u0080",
      `/uploads/${"x".repeat(9000)}`,
    ]) {
      await using client = await RawClient.open(server.port);
      await client.send(
        Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \u009b2J\r\n\r\n`, "latin1"),
      );
      assert.ok((await client.answer()).status >= 400);
    }
    const wrong = { authorization: `Bearer ${TOKEN}x` };
    assert.equal((await fetch(`${server.url}/uploads`, { method: "POST", body: "x", headers: wrong })).status, 401);
    await server.stop();
    assert.doesNotMatch(server.output, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    assert.ok(!server.output.includes(TOKEN));
    assert.ok(Math.max(...server.output.split("\n").map((line) => line.length)) < 1000);
  });
}

test("responses name neither server nor framework, and all have the security fields", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "headers") });
  for (const path of ["/", "/healthz", "/nowhere", `/uploads/${sha256("x")}`]) {
    const { headers } = await fetch(server.url + path);
    for (const name of ["server", "x-powered-by"]) assert.equal(headers.get(name), null, `${path} ${name}`);
  }
  for (const path of ["/", "/page/none.js", "/healthz", "/nowhere"]) {
    const { headers } = await fetch(server.url + path);
    assert.equal(headers.get("x-content-type-options"), "nosniff", path);
    assert.match(headers.get("content-security-policy") ?? "", /default-src 'none'/, path);
  }
});

test("every error is a problem document, outside the uploads, too", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "errors") });
  const code = async (request: string): Promise<[number, string | undefined, string]> => {
    await using client = await RawClient.open(server.port);
    await client.send(request);
    const { status, fields, body } = await client.answer();
    return [status, fields.get("content-type"), (JSON.parse(String(body)) as { code: string }).code];
  };
  const type = "application/problem+json";
  assert.deepEqual(await code("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"), [404, type, "not-found"]);
  const post = (path: string) => code(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`);
  assert.deepEqual(await post("/nowhere"), [404, type, "not-found"]);
  assert.deepEqual(await post("/"), [405, type, "method-not-allowed"]);
  assert.deepEqual(await code("NONSENSE\r\n\r\n"), [400, type, "invalid-request"]);
  assert.deepEqual(await code("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"), [
    400,
    type,
    "invalid-request",
  ]);
  const long = `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`;
  assert.deepEqual(await code(long), [431, type, "headers-too-large"]);
  for (const request of [
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nhost: b\r\n\r\n",
    "POST /uploads HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ]) {
    assert.deepEqual(await code(request), [400, type, "invalid-request"], request);
  }
  assert.deepEqual(
    await code("POST /uploads HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\nx"),
    [417, type, "unsupported-expectation"],
  );
  assert.equal((await code("GET /healthz HTTP/1.0\r\n\r\n"))[0], 200, "HTTP/1.0 knows no Host");
  assert.deepEqual(await code("GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"), [400, type, "invalid-request"]);
});

test("readyz reports whether the store works, and soon when that changes; healthz, that the process lives", async () => {
  const dir = join(folder, "health");
  await using server = await ServerProcess.start({ dir });
  const ask = async (): Promise<unknown[]> => {
    const response = await fetch(`${server.url}/readyz`);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    const { status, code } = (await response.json()) as { status?: unknown; code?: string };
    return [response.status, status === "ok" ? "ok" : code];
  };
  assert.deepEqual(await ask(), [200, "ok"]);
  await rm(dir, { recursive: true });
  await writeFile(dir, "");
  await until(async () => (await ask())[0] === 503);
  assert.deepEqual(await ask(), [503, "store-unavailable"]);
  await rm(dir);
  await until(async () => (await ask())[0] === 200);
  assert.match(server.output, /ENOTDIR|EEXIST/, "the log tells why");
});

test("an unreadable request is refused with an id that is in the log", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "unreadable") });
  await using client = await RawClient.open(server.port);
  await client.send("NONSENSE\u001b[2J\r\n\r\n");
  const { fields } = await client.answer();
  await client.closed();
  const [line] = await logLines(server, 1);
  assert.equal(line?.["id"], fields.get("x-request-id"));
  assert.equal(line?.["code"], "invalid-request");
});

test("a truncated upload is refused, and is one line in the log", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "cut") });
  await using client = await RawClient.open(server.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234");
  client.socket.end();
  const { status, body } = await client.answer();
  assert.deepEqual([status, (JSON.parse(String(body)) as { code: string }).code], [400, "upload-aborted"]);
  await client.closed();
  await logLines(server, 1);
  await server.stop();
  const lines = (await logLines(server, 2)).filter(({ msg }) => !String(msg).startsWith("stopping"));
  assert.deepEqual(
    lines.map(({ method, code }) => [method, code]),
    [["POST", "upload-aborted"]],
  );
});

test("the refusal of an unreadable request is never mixed into a response that is being sent", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "mixed") });
  const content = Buffer.alloc(64 * 1024 ** 2, "fixity");
  const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: content });
  const { url } = (await stored.json()) as { url: string };
  await using client = await RawClient.open(server.port);
  await client.send(`GET ${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  const [first] = (await once(client.socket, "data")) as [Buffer];
  client.socket.removeAllListeners("data").pause();
  await client.send("NONSENSE\r\n\r\n");
  const received = [first];
  client.socket.on("data", (bytes) => received.push(bytes)).resume();
  await client.closed();
  const all = Buffer.concat(received);
  const body = all.subarray(all.indexOf("\r\n\r\n") + 4);
  assert.ok(body.equals(content.subarray(0, body.length)), "nothing but the file's own bytes");
});

test("content for a path without uploads is refused, and read no longer than that of an upload", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "elsewhere") });
  for (const method of ["POST", "PUT", "DELETE"]) {
    for (const type of ["application/json", "image/png", "multipart/form-data; boundary=x"]) {
      const headers = { "content-type": type };
      const response = await fetch(`${server.url}/nowhere`, { method, headers, body: Buffer.alloc(3 * 1024 ** 2) });
      const { code } = (await response.json()) as { code: string };
      assert.deepEqual([response.status, code], [404, "not-found"], `${method} ${type}`);
    }
  }
  // endless, but silent: the connection ends
  for (const head of ["POST /nowhere", "GET /healthz"]) {
    await using client = await RawClient.open(server.port);
    await client.send(`${head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n`);
    assert.equal((await client.answer()).status, head === "GET /healthz" ? 200 : 404);
    await client.closed();
  }
});

test("the page has the service's prefix and limit, and is revalidated", async () => {
  const env = { UPLOAD_PREFIX: "/files", UPLOAD_MAX_SIZE: "10MiB" };
  await using server = await ServerProcess.start({ dir: join(folder, "page"), env });
  const page = await fetch(server.url);
  const html = await page.text();
  assert.match(html, /action="\.\/files"/);
  assert.match(html, /up to 10 MiB/);
  assert.doesNotMatch(html, /\{\{/);
  const headers = { "if-none-match": page.headers.get("etag") ?? "" };
  assert.equal((await fetch(server.url, { headers })).status, 304);
});

test("the tokens of the configuration are required", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "tokens"), env: { UPLOAD_TOKENS: TOKEN } });
  const post = async (headers: Record<string, string>): Promise<number> =>
    (await fetch(`${server.url}/uploads`, { method: "POST", body: "x", headers })).status;
  assert.equal(await post({}), 401);
  assert.equal(await post({ authorization: `Bearer ${TOKEN}` }), 201);
  assert.match(server.output, /Authorization: Bearer \$TOKEN/);
});

test("an absolute request target means the same as its path", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "absolute"), env: { UPLOAD_HOSTS: "a.example" } });
  const ask = async (head: string, body = ""): Promise<number> => {
    await using client = await RawClient.open(server.port);
    await client.send(`${head} HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const { status } = await client.answer();
    return status;
  };
  assert.equal(await ask("POST http://a.example/uploads?filename=a.txt", "hello"), 201);
  assert.equal(await ask(`GET http://a.example:80/uploads/${sha256("hello")}.txt`), 200);
  assert.equal(await ask("GET http://a.example"), 200);
  assert.equal(await ask("GET HTTPS://a.example/healthz"), 200);
  for (const other of ["GET ftp://a.example/uploads", "GET *", "POST *"]) assert.equal(await ask(other), 404, other);
});

test("OPTIONS * lists the methods, and waits for no content", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "whole") });
  await using client = await RawClient.open(server.port);
  await client.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const { status, fields } = await client.answer();
  assert.deepEqual([status, fields.get("allow")], [204, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"]);
  const [line] = await logLines(server, 1);
  assert.deepEqual([line?.["method"], line?.["path"], line?.["status"]], ["OPTIONS", "*", 204]);
  // endless, but silent: the connection ends
  await client.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n");
  assert.equal((await client.answer()).status, 204);
  await client.closed();
});

test("every response that is not a file forbids running or framing it", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "safety") });
  const unread = async (text: string) => {
    await using client = await RawClient.open(server.port);
    await client.send(text);
    const { fields } = await client.answer();
    return fields;
  };
  for (const fields of [
    (await fetch(`${server.url}/uploads`, { method: "POST", body: "x" })).headers,
    (await fetch(`${server.url}/uploads/x`)).headers,
    (await fetch(`${server.url}/nowhere`)).headers,
    (await fetch(`${server.url}/healthz`)).headers,
    await unread("NONSENSE\r\n\r\n"),
    await unread("GET / HTTP/1.1\r\n\r\n"),
  ]) {
    assert.equal(fields.get("x-content-type-options"), "nosniff");
    assert.equal(fields.get("referrer-policy"), "no-referrer");
    assert.match(fields.get("content-security-policy") ?? "", /default-src 'none'/);
  }
});

test("a stalled download is closed, and its file with it", async () => {
  const env = { UPLOAD_IDLE_TIMEOUT: "400ms" };
  await using server = await ServerProcess.start({ dir: join(folder, "idle"), env });
  const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: Buffer.alloc(64 * 1024 ** 2) });
  const { url } = (await stored.json()) as { url: string };
  const before = await server.openFiles();
  await using client = await RawClient.open(server.port);
  client.socket.pause();
  await client.send(`GET ${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(async () => server.output.includes('"aborted":true'));
  await until(async () => (await server.openFiles()) <= before);
});

test("requests and missing files are logged; successful health checks are not", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "asked") });
  const paths = ["/healthz", "/readyz", "/readyz?verbose", "/", "/nowhere"];
  for (const path of paths) await (await fetch(server.url + path)).arrayBuffer();
  const lines = await logLines(server, 2);
  assert.deepEqual(
    lines.map(({ path, status }) => [path, status]),
    [
      ["/", 200],
      ["/nowhere", 404],
    ],
  );
});

test("each failed health check is one line in the log, with the reason", async () => {
  const dir = join(folder, "unwell");
  await using server = await ServerProcess.start({ dir });
  await rm(dir, { recursive: true });
  await writeFile(dir, "");
  let failed = 0;
  await until(async () => {
    if ((await fetch(`${server.url}/readyz`)).status === 503) failed += 1;
    return failed === 2;
  });
  await server.stop();
  const lines = (await logLines(server, 2)).filter(({ status }) => status === 503);
  assert.equal(lines.length, 2);
  const { level, method, path, code, ms, err } = lines.at(-1) ?? {};
  assert.deepEqual(
    { level, method, path, code, ms: typeof ms, err: typeof err },
    { level: "error", method: "GET", path: "/readyz", code: "store-unavailable", ms: "number", err: "object" },
  );
});
