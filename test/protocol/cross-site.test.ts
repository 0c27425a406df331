import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, connect as connectHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import express from "express";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity, FixityError } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { nodeHandler } from "../../src/node.ts";
import { Host, type HostName } from "../helpers/hosts.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { fileHead, formOf, Service, type ServiceOptions, sha256 } from "../helpers/service.ts";

const FOREIGN = { Origin: "https://evil.example" };
const ID = "0".repeat(32);
const LINK = `/uploads/${sha256("content")}`;

type Fields = Readonly<Record<string, string>>;

interface Result {
  readonly status: number;
  readonly code: string | undefined;
  readonly detail: string;
}

/** Sends a request to localhost exactly as it stands; no client adds fields of its own. */
async function ask(port: number, line: string, fields: Fields = {}, content = ""): Promise<Result> {
  await using client = await RawClient.open(port);
  const lines = Object.entries({ Host: `localhost:${port}`, "Content-Length": content.length, ...fields });
  await client.send(
    `${line} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${content}`,
  );
  const head = line.startsWith("HEAD");
  const { status, body, fields: answered } = await client.answer({ head });
  const isProblem = !head && answered.get("content-type") === "application/problem+json";
  const { code, detail = "" } = isProblem ? (JSON.parse(body.toString()) as { code?: string; detail?: string }) : {};
  return { status, code, detail };
}

const form = formOf([{ head: fileHead(), content: "content" }]);
const FORM = { "Content-Type": `multipart/form-data; boundary=${form.boundary}` };
const TUS = { "Tus-Resumable": "1.0.0" };

/** Every request that changes something. */
const CHANGES: readonly (readonly [what: string, line: string, fields: Fields, content: string])[] = [
  ["a form", "POST /uploads", FORM, form.body.toString()],
  ["text", "POST /uploads?filename=a.txt", { "Content-Type": "text/plain" }, "content"],
  ["content without a type", "POST /uploads/", {}, "content"],
  ["no content", "POST /uploads", {}, ""],
  ["PUT to a link", `PUT ${LINK}`, {}, "content"],
  ["DELETE of a link", `DELETE ${LINK}`, {}, ""],
  ["a creation", "POST /uploads", { "Upload-Complete": "?0" }, "content"],
  ["a creation by tus", "POST /uploads", { ...TUS, "Upload-Length": "7" }, ""],
  ["an append", `PATCH /uploads/in-progress/${ID}`, { "Upload-Offset": "0" }, "content"],
  ["an append by tus", `PATCH /uploads/in-progress/${ID}`, { ...TUS, "Upload-Offset": "0" }, "content"],
  ["a cancellation", `DELETE /uploads/in-progress/${ID}`, {}, ""],
  [
    "a POST that stands for PATCH",
    `POST /uploads/in-progress/${ID}`,
    { ...TUS, "X-HTTP-Method-Override": "PATCH" },
    "x",
  ],
  [
    "a GET that stands for DELETE",
    `GET /uploads/in-progress/${ID}`,
    { ...TUS, "X-HTTP-Method-Override": "DELETE" },
    "",
  ],
  ["a PUT that stands for GET", `PUT ${LINK}`, { ...TUS, "X-HTTP-Method-Override": "GET" }, "content"],
  ["a POST that stands for OPTIONS", "POST /uploads", { "X-HTTP-Method-Override": "OPTIONS" }, ""],
  ["an unknown method", "DELETE /uploads", {}, ""],
  ["a malformed link", "PUT /uploads/nonsense", {}, "content"],
];

for (const adapter of ["node", "fastify"] as const) {
  for (const [what, line, fields, content] of CHANGES) {
    test(`${adapter}: ${what} from a page of another site is refused, and nothing is stored`, async () => {
      await using service = await Service.start({ adapter, log: () => {}, authorize: () => {} });
      for (const origin of [
        FOREIGN,
        { Origin: "null" },
        { "Sec-Fetch-Site": "cross-site" },
        { "Sec-Fetch-Site": "same-site" },
      ]) {
        const { status, code } = await ask(service.port, line, { ...fields, ...origin }, content);
        assert.deepEqual([status, code], [403, "cross-site-request"], JSON.stringify(origin));
      }
      assert.equal(await service.count(), 0);
      const own = { Origin: `http://localhost:${service.port}` };
      for (const honest of [{}, own, { "Sec-Fetch-Site": "same-origin" }, { ...own, "Sec-Fetch-Site": "none" }]) {
        assert.notEqual((await ask(service.port, line, { ...fields, ...honest }, content)).status, 403, what);
      }
    });
  }
}

test("what changes nothing is answered wherever it comes from", async () => {
  await using service = await Service.start();
  await ask(service.port, "POST /uploads", {}, "content");
  for (const line of [`GET ${LINK}`, `HEAD ${LINK}`, `GET ${LINK}?view`, "OPTIONS /uploads"]) {
    const { status } = await ask(service.port, line, { ...FOREIGN, "Sec-Fetch-Site": "cross-site" });
    assert.ok(status === 200 || status === 204, `${line}: ${status}`);
  }
});

test("the refusal comes before authorize, and before 100 Continue", async () => {
  let asked = 0;
  await using service = await Service.start({ log: () => {}, authorize: () => void asked++ });
  await using client = await RawClient.open(service.port);
  await client.send(
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
  );
  assert.equal((await client.answer()).status, 403);
  assert.equal(asked, 0);
});

for (const [what, options, origin] of [
  ["an origin that is listed", { cors: { origins: ["https://app.example.com"] } }, "https://app.example.com"],
  ["any origin where all are", { cors: { origins: "*" } }, "https://evil.example"],
  ["the origin of the public URL", { publicUrl: "https://files.example.com/base" }, "https://files.example.com"],
  ["any origin with crossSite: allow", { crossSite: "allow" }, "https://evil.example"],
] as const satisfies readonly (readonly [string, ServiceOptions, string])[]) {
  test(`a page of ${what} may upload`, async () => {
    await using service = await Service.start(options);
    const fields = { Origin: origin, "Sec-Fetch-Site": "cross-site", Host: "internal:3000" };
    assert.equal((await ask(service.port, "POST /uploads", fields, "content")).status, 201);
  });
}

test("a request with a bearer token is judged by the token alone", async () => {
  await using service = await Service.start({ log: () => {}, tokens: ["0123456789abcdef"] });
  const send = async (fields: Fields) =>
    (await ask(service.port, "POST /uploads", { ...FOREIGN, ...fields }, "x")).status;
  assert.equal(await send({ Authorization: "Bearer 0123456789abcdef" }), 201);
  assert.equal(await send({ Authorization: "Bearer wrong" }), 401);
  assert.equal(await send({ Authorization: "Basic YTpi" }), 403);
  assert.equal(await send({ Cookie: "session=1" }), 403);
});

test("the answer names the options that allow the request; the log does so once", async () => {
  const messages: string[] = [];
  await using service = await Service.start({ log: (message) => void messages.push(message) });
  for (const fields of [FOREIGN, { Origin: "https://other.example" }, { Origin: "null" }]) {
    const { detail } = await ask(service.port, "POST /uploads", fields, "x");
    for (const option of ["cors.origins", "publicUrl", 'crossSite: "allow"'])
      assert.ok(detail.includes(option), detail);
    assert.equal(detail.includes(fields.Origin), fields.Origin !== "null", detail);
  }
  assert.equal(messages.length, 1);
  assert.match(messages[0] ?? "", /https:\/\/evil\.example.*cors\.origins/);
});

test("without an option for the log, the process warns", async () => {
  const warned = once(process, "warning");
  await using service = await Service.start();
  await ask(service.port, "POST /uploads", FOREIGN, "x");
  const [warning] = (await warned) as [Error];
  assert.equal(warning.name, "FixityWarning");
  assert.match(warning.message, /cors\.origins/);
});

test("a browser that sent a form is shown a page", async () => {
  await using service = await Service.start({ log: () => {} });
  const headers = { ...FOREIGN, Accept: "text/html,*/*;q=0.8" };
  const answer = await fetch(`${service.url}/uploads`, { method: "POST", body: "x", headers });
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [403, "text/html; charset=utf-8"]);
  assert.deepEqual([answer.headers.get("vary"), answer.headers.get("cache-control")], ["Accept", "no-store"]);
  assert.match(answer.headers.get("content-security-policy") ?? "", /^default-src 'none'.*frame-ancestors 'none'/);
  const page = await answer.text();
  assert.match(page, /<h1>Cross-site request refused<\/h1>/);
  assert.match(page, /https:\/\/evil\.example/);
});

test("an option that is neither allow nor refuse is not accepted", async () => {
  await assert.rejects(Service.start({ crossSite: "yes" as "allow" }), { code: "invalid-option" });
});

test("the rule holds in every way of embedding", async () => {
  for (const name of ["local", "express", "fastify", "fetch"] as const satisfies readonly HostName[]) {
    await using host = await Host.start(name);
    const send = async (fields: Fields): Promise<Result> => ask(host.port, "POST /uploads/", fields, "content");
    const own = `http://localhost:${host.port}`;
    for (const fields of [FOREIGN, { "Sec-Fetch-Site": "same-site", Origin: own }, { Origin: "null" }] as Fields[]) {
      assert.equal((await send(fields)).code, "cross-site-request", name);
    }
    // without the token that these hosts want
    const passed = name === "local" ? 201 : 401;
    for (const fields of [{}, { Origin: own }, { Origin: own.replace("localhost", "LOCALHOST") }] as Fields[]) {
      assert.ok([passed, 200].includes((await send(fields)).status), name);
    }
  }
});

test("a target in absolute form replaces Host", async () => {
  await using service = await Service.start({ log: () => {} });
  const send = async (target: string, fields: Fields) =>
    (await ask(service.port, `POST ${target}`, fields, "content")).status;
  const fields = { Host: "localhost", Origin: "http://evil.example" };
  assert.equal(await send("http://localhost/uploads", { ...fields, Host: "evil.example" }), 403);
  assert.equal(await send("http://evil.example/uploads", fields), 201);
});

test("behind a mount path of Express the host is known as well", async () => {
  const app = express();
  const fixity = createFixity({ store: memoryStore(), prefix: "/api/uploads" });
  app.use("/api", nodeHandler(fixity, { log: () => {} }));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const send = async (origin: string) => (await ask(port, "POST /api/uploads", { Origin: origin }, "x")).status;
    assert.deepEqual([await send("https://evil.example"), await send(`https://localhost:${port}`)], [403, 201]);
  } finally {
    server.close();
  }
});

test("over HTTP/2 the host is that of :authority", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const listener = nodeHandler(fixity, { log: () => {} });
  const server = createHttp2Server((request, response) => {
    listener(
      request as unknown as Parameters<typeof listener>[0],
      response as unknown as Parameters<typeof listener>[1],
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const send = async (origin: string): Promise<unknown> => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/uploads",
        ":authority": "files.example.com",
        "content-length": 7,
        origin,
      });
      stream.end("content");
      const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
      stream.resume();
      return headers[":status"];
    };
    assert.deepEqual([await send("https://evil.example"), await send("https://files.example.com")], [403, 201]);
  } finally {
    session.close();
    server.close();
  }
});

test("a Fetch handler compares Origin with Host, and with the URL where there is no Host", async () => {
  const handler = fetchHandler(createFixity({ store: memoryStore() }), { log: () => {} });
  const send = async (headers: Fields): Promise<number> =>
    (await handler(new Request("http://files.example.com/uploads", { method: "POST", body: "x", headers }))).status;
  assert.equal(await send({ origin: "https://files.example.com" }), 201);
  assert.equal(await send({ origin: "https://evil.example" }), 403);
  assert.equal(await send({ origin: "https://evil.example", host: "evil.example" }), 200);
  assert.equal(await send({ origin: "https://files.example.com", host: "evil.example" }), 403);
});

test("an embedder's authorize can rely on the requested host", async () => {
  const seen: (string | undefined)[] = [];
  await using service = await Service.start({
    authorize: ({ exchange: { authority } }) => {
      seen.push(authority);
      throw new FixityError("forbidden", "no");
    },
  });
  await ask(service.port, "POST /uploads", { Host: "Files.example.com:80" }, "x");
  assert.deepEqual(seen, ["Files.example.com:80"]);
});
