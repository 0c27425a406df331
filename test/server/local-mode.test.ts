/** Local mode, and the cross-site rule, of the server as a process: what `Host`, `Origin` and proxies do to it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FrontServer } from "../helpers/front-server.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { settled } from "../helpers/settled.ts";

const TOKEN = "a-token-0123456789";
const LINK = `/uploads/${sha256("stored")}.txt`;
const FILES = "https://files.example.com";

type Env = Readonly<Record<string, string>>;

let folder = "";
let local: ServerProcess;
let open: ServerProcess;
let guarded: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  local = await start("local");
  open = await start("open", { UPLOAD_OPEN: "yes" });
  guarded = await start("guarded", { UPLOAD_TOKENS: TOKEN });
});
after(async () => {
  for (const server of [local, open, guarded]) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A server in which {@link LINK} is stored. */
async function start(name: string, env: Env = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start({ dir: join(folder, name), env });
  const headers = { authorization: `Bearer ${TOKEN}` };
  await fetch(`${server.url}/uploads`, { method: "POST", body: "stored", headers });
  return server;
}

interface Result {
  readonly status: number;
  readonly code: string | undefined;
  readonly detail: string;
}

/** Sends a header section as it stands. */
async function send(server: ServerProcess, head: string, content = ""): Promise<Result> {
  await using client = await RawClient.open(server.port);
  await client.send(`${head}\r\n\r\n${content}`);
  const { status, fields, body } = await client.answer({ head: head.startsWith("HEAD") });
  const isProblem = fields.get("content-type") === "application/problem+json" && body.length > 0;
  const { code, detail = "" } = isProblem ? (JSON.parse(body.toString()) as { code?: string; detail?: string }) : {};
  return { status, code, detail };
}

/** The status for `GET /healthz` with these lines behind the request line. */
async function health(server: ServerProcess, ...lines: readonly string[]): Promise<number> {
  return (await send(server, ["GET /healthz HTTP/1.1", ...lines].join("\r\n"))).status;
}

async function post(server: { readonly url: string }, headers: Env = {}): Promise<number> {
  const answer = await fetch(`${server.url}/uploads?filename=a.txt`, { method: "POST", body: "posted", headers });
  await answer.arrayBuffer();
  return answer.status;
}

const stored = new Set([200, 201]);

for (const [what, line, status] of [
  ["the page", "GET /", 200],
  ["a file of the page", "GET /page/none.js", 404],
  ["the health check", "GET /healthz", 200],
  ["an unknown path", "GET /nowhere", 404],
  ["a malformed path", "GET /%zz", 400],
  ["a stored file", `GET ${LINK}`, 200],
  ["a stored file's fields", `HEAD ${LINK}`, 200],
  ["a stored file's page", `GET ${LINK}?view`, 200],
  ["another stored file", `GET /uploads/${sha256("none")}`, 404],
  ["methods", "OPTIONS /uploads", 204],
  ["methods of the server", "OPTIONS *", 204],
  ["an upload", "POST /uploads", 400],
  ["a PUT", `PUT ${LINK}`, 200],
  ["a removal", `DELETE ${LINK}`, 403],
  ["a POST elsewhere", "POST /nowhere", 404],
  ["a wrong method", "PATCH /uploads", 405],
  ["an upload in progress", `HEAD /uploads/in-progress/${"0".repeat(32)}`, 404],
] as const) {
  test(`in local mode, ${what} is not for another host`, async () => {
    // nothing to store: an upload without content is refused later
    const content = line.startsWith("PUT") ? ["Content-Length: 6", "Expect: 100-continue"] : [];
    const lines = (host: string): string => [`${line} HTTP/1.1`, `Host: ${host}`, ...content].join("\r\n");
    assert.equal((await send(local, lines("localhost"))).status, status);
    const refused = await send(local, lines("rebind.example:3000"));
    assert.equal(refused.status, 421);
    if (line.startsWith("HEAD")) return;
    assert.equal(refused.code, "unknown-host");
    assert.match(refused.detail, /UPLOAD_HOSTS=rebind\.example/);
    for (const server of [open, guarded]) assert.notEqual((await send(server, lines("rebind.example"))).status, 421);
  });
}

test("an upload for another host is refused before its content is requested", async () => {
  await using client = await RawClient.open(local.port);
  for (const path of ["/uploads", LINK]) {
    const method = path === LINK ? "PUT" : "POST";
    await using client = await RawClient.open(local.port);
    await client.send(
      `${method} ${path} HTTP/1.1\r\nHost: evil.example\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n`,
    );
    assert.equal((await client.answer()).status, 421);
  }
  // the connection serves requests for the right host
  await client.send(
    "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
  );
  assert.deepEqual([(await client.answer()).status, (await client.answer()).status], [421, 200]);
});

for (const [lines, inLocalMode, elsewhere] of [
  [["Host: localhost"], 200, 200],
  [["Host: LOCALHOST.:80"], 200, 200],
  [["Host: app.localhost:3000"], 200, 200],
  [["Host: 127.0.0.1"], 200, 200],
  [["Host: 10.42.0.17:3000"], 200, 200],
  [["Host: 0x7f.1"], 200, 200],
  [["Host: [::1]:3000"], 200, 200],
  [["Host: [2001:db8::1]"], 200, 200],
  [["Host: files.example.com"], 421, 200],
  [["Host: localhost.."], 421, 200],
  [["Host: 127.0.0.1.nip.io"], 421, 200],
  [["Host:"], 421, 200],
  [["Host: a b"], 400, 400],
  [["Host: [::1"], 400, 400],
  [["Host: ::1"], 400, 400],
  [["Host: [fe80::1%25lo]"], 400, 400],
  [["Host: user@localhost"], 400, 400],
  [["Host: localhost/x"], 400, 400],
  [["Host: localhost:http"], 400, 400],
  [["Host: localhost, localhost"], 400, 400],
  [["Host: localhost", "Host: localhost"], 400, 400],
  [["Host: localhost", "host: evil.example"], 400, 400],
  [[], 400, 400],
  [["X-Forwarded-Host: localhost", "Host: evil.example"], 421, 200],
] as const) {
  test(`HTTP/1.1 with ${JSON.stringify(lines)} is ${inLocalMode} in local mode, else ${elsewhere}`, async () => {
    assert.equal(await health(local, ...lines), inLocalMode);
    for (const server of [open, guarded]) assert.equal(await health(server, ...lines), elsewhere);
  });
}

test("HTTP/1.0 passes without Host, and with an accepted Host", async () => {
  for (const [lines, status] of [
    [[], 200],
    [["Host: localhost"], 200],
    [["Host: evil.example"], 421],
    [["Host: a b"], 400],
    [["Host: localhost", "Host: localhost"], 400],
  ] as const) {
    const head = ["GET /healthz HTTP/1.0", ...lines].join("\r\n");
    assert.equal((await send(local, head)).status, status, head);
  }
});

test("the host of an absolute target replaces Host", async () => {
  for (const [target, host, status] of [
    ["http://localhost:3000/healthz", "localhost", 200],
    ["http://localhost/healthz", "evil.example", 200],
    ["http://evil.example/healthz", "localhost", 421],
    ["HTTPS://evil.example/healthz", "localhost", 421],
    ["http://evil.example", "localhost", 421],
    ["http://evil.example?x=http://localhost/", "localhost", 421],
    ["http://localhost@evil.example/healthz", "localhost", 400],
    ["http://[::1]/healthz", "evil.example", 200],
    ["ftp://evil.example/healthz", "localhost", 421],
    ["/healthz?u=http://evil.example/", "localhost", 200],
    ["//evil.example/healthz", "localhost", 404],
  ] as const) {
    const { status: found } = await send(local, `GET ${target} HTTP/1.1\r\nHost: ${host}`);
    assert.equal(found, status, `${target} ${host}`);
  }
  assert.equal((await send(local, "GET http://evil.example/ HTTP/1.0")).status, 421);
});

test("UPLOAD_HOSTS and the host of UPLOAD_PUBLIC_URL are accepted", async () => {
  const env = { UPLOAD_HOSTS: "fixity,dev.example.com", UPLOAD_PUBLIC_URL: `${FILES}/sub` };
  await using server = await start("hosts", env);
  for (const host of ["fixity:3000", "DEV.example.com.", "files.example.com"])
    assert.equal(await health(server, `Host: ${host}`), 200, host);
  for (const host of ["fixity.example", "example.com"]) assert.equal(await health(server, `Host: ${host}`), 421, host);
});

test("a browser gets a page that names the setting to change", async () => {
  const { status, detail } = await send(local, "GET / HTTP/1.1\r\nHost: fixity\r\nAccept: text/html,*/*;q=0.8");
  assert.deepEqual([status, detail], [421, ""]);
  await using client = await RawClient.open(local.port);
  await client.send("GET / HTTP/1.1\r\nHost: fixity\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
  const { fields, body } = await client.answer();
  assert.equal(fields.get("content-type"), "text/html; charset=utf-8");
  assert.match(body.toString(), /UPLOAD_HOSTS=fixity/);
});

test("refusals are logged like all responses, and the setting that allows them once", async () => {
  await using server = await start("log");
  for (const host of ["one.example", "two.example"]) await health(server, `Host: ${host}`);
  for (const origin of ["https://one.example", "https://two.example"])
    assert.equal(await post(server, { origin }), 403);
  await server.stop();
  const lines = server.output.split("\n").filter((line) => line.startsWith("{"));
  const records = lines.map((line) => JSON.parse(line) as { level: string; msg: string; code?: string });
  const codes = records.flatMap(({ code }) => (code === undefined ? [] : [code]));
  assert.deepEqual(codes.toSorted(), ["cross-site-request", "cross-site-request", "unknown-host", "unknown-host"]);
  const warnings = records.filter(({ level }) => level === "warn").map(({ msg }) => msg);
  assert.equal(warnings.length, 2);
  assert.match(warnings[0] ?? "", /UPLOAD_HOSTS=one\.example/);
  assert.match(warnings[1] ?? "", /https:\/\/one\.example to UPLOAD_CORS_ORIGINS/);
});

for (const [env, policy] of [
  [{}, "same-origin"],
  [{ UPLOAD_PUBLIC_URL: "http://localhost:3000" }, "same-origin"],
  [{ UPLOAD_PUBLIC_URL: "http://[::1]:3000" }, "same-origin"],
  [{ UPLOAD_PUBLIC_URL: FILES }, "cross-origin"],
  [{ UPLOAD_CORS_ORIGINS: "http://localhost:5173" }, "cross-origin"],
  [{ UPLOAD_OPEN: "yes" }, "cross-origin"],
  [{ UPLOAD_TOKENS: TOKEN }, "cross-origin"],
] as const) {
  test(`with ${JSON.stringify(env)}, files are for pages that are ${policy}`, async () => {
    await using server = await start(`policy-${Object.values(env).join().replaceAll(/\W/g, "-")}`, env);
    for (const fields of [{}, { range: "bytes=0-1" }]) {
      const answer = await fetch(server.url + LINK, { headers: fields as Env });
      assert.equal(answer.headers.get("cross-origin-resource-policy"), policy);
      await answer.arrayBuffer();
    }
    const warns = (): boolean => /anybody who reaches https:\/\/files\.example\.com\/ can upload/.test(server.output);
    const isPublic = "UPLOAD_PUBLIC_URL" in env && env.UPLOAD_PUBLIC_URL === FILES;
    assert.equal(
      await settled(
        async () => warns(),
        (found) => found === isPublic,
      ),
      isPublic,
    );
  });
}

for (const [what, headers] of [
  ["another origin", { origin: "https://evil.example" }],
  ["another port of localhost", { origin: "http://localhost:5173", "sec-fetch-site": "same-site" }],
  ["an opaque origin", { origin: "null" }],
  ["a form of another site", { origin: "null", "sec-fetch-site": "cross-site" }],
] as const) {
  test(`an upload from ${what} is refused in local and open mode; with tokens, the token decides`, async () => {
    for (const server of [local, open]) assert.equal(await post(server, headers), 403);
    assert.equal(await post(guarded, headers), 401);
    assert.ok(stored.has(await post(guarded, { ...headers, authorization: `Bearer ${TOKEN}` })));
    const { detail } = await send(
      local,
      ["POST /uploads HTTP/1.1", "Host: localhost", `Origin: ${headers.origin}`, "Content-Length: 1"].join("\r\n"),
      "x",
    );
    assert.match(detail, /UPLOAD_CORS_ORIGINS/);
    assert.match(detail, /UPLOAD_PUBLIC_URL/);
  });
}

test("the server's own page, an allowed origin and programs may upload", async () => {
  await using allowing = await start("cors", { UPLOAD_CORS_ORIGINS: "http://localhost:5173" });
  for (const server of [local, open, allowing]) {
    for (const headers of [
      {},
      { origin: server.url },
      { origin: server.url, "sec-fetch-site": "same-origin" },
      { "sec-fetch-site": "none" },
    ]) {
      assert.ok(stored.has(await post(server, headers)), JSON.stringify(headers));
    }
  }
  assert.ok(stored.has(await post(allowing, { origin: "http://localhost:5173", "sec-fetch-site": "same-site" })));
  assert.equal(await post(allowing, { origin: "http://localhost:5174" }), 403);
});

/** A server block like those that people write. */
function nginx(server: ServerProcess, ...lines: readonly string[]): Promise<FrontServer> {
  return FrontServer.nginxWith(
    `upstream fixity { server 127.0.0.1:${server.port}; }
    server { listen 80; location / { proxy_pass http://fixity; ${lines.join(" ")} } }`,
    {},
  );
}

test(
  "nginx with the name of an upstream as Host gets a refusal that names UPLOAD_HOSTS",
  needing("nginx"),
  async () => {
    await using front = await nginx(local);
    const answer = await fetch(`${front.url}/uploads`, { method: "POST", body: "x" });
    assert.equal(answer.status, 421);
    assert.match(((await answer.json()) as { detail: string }).detail, /set UPLOAD_HOSTS=fixity /);
    assert.equal((await fetch(`${front.url}/healthz`)).status, 421);
  },
);

for (const [what, env, lines] of [
  ["UPLOAD_HOSTS names the upstream", { UPLOAD_HOSTS: "fixity", UPLOAD_PUBLIC_URL: FILES }, []],
  [
    "Host is passed on to the host of UPLOAD_PUBLIC_URL",
    { UPLOAD_PUBLIC_URL: FILES },
    ["proxy_set_header Host $http_host;"],
  ],
  ["Host is the service's address", { UPLOAD_PUBLIC_URL: FILES }, ["proxy_set_header Host 127.0.0.1:3000;"]],
] as const) {
  test(`behind nginx, the public page can upload where ${what}`, needing("nginx"), async () => {
    await using server = await start(`nginx-${lines.join().length}`, env);
    await using front = await nginx(server, ...lines);
    await using client = await RawClient.open(Number(new URL(front.url).port));
    const upload = async (...fields: readonly string[]): Promise<number> => {
      const head = ["POST /uploads?filename=a.txt HTTP/1.1", "Host: files.example.com", "Content-Length: 7", ...fields];
      await client.send(`${head.join("\r\n")}\r\n\r\ncontent`);
      return (await client.answer()).status;
    };
    // TLS has ended in nginx; browsers without Sec-Fetch-Site are told apart by Origin alone
    assert.equal(await upload(`Origin: ${FILES}`), 201);
    assert.equal(await upload(`Origin: ${FILES}`, "Sec-Fetch-Site: same-origin"), 200);
    assert.equal(await upload(), 200);
    assert.equal(await upload("Origin: https://evil.example"), 403);
    assert.equal(await upload("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), 403);
  });
}
