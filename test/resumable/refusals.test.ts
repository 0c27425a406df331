/** Refusals in both protocols: they contain all that a client needs to continue, and leave nothing behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { Service } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, json } from "./client.ts";
import { append, created, LAST, offsetOf, OPEN, PARTIAL } from "./ietf-client.ts";

const MIB = 1024 * 1024;
const TUS = { "Tus-Resumable": "1.0.0" };
const OCTETS = { "Content-Type": "application/offset+octet-stream" };
const base64 = (text: string | Buffer): string => Buffer.from(text).toString("base64");

async function uploadsIn({ fixity }: Service): Promise<number> {
  return (await Array.fromAsync(fixity.store.uploads?.list() ?? [])).length;
}

test("413: an upload over a limit is refused with the limits, at its creation and later", async () => {
  await using service = await Service.start({ maxSize: 100, uploads: { maxAppendSize: 50 } });
  const limits = /^max-size=100, max-append-size=50, max-age=\d+$/;
  const whole = await ask(service.port, "POST", "/uploads", { fields: { ...OPEN, "Upload-Length": "101" } });
  const first = await ask(service.port, "POST", "/uploads", { fields: OPEN, body: "x".repeat(51) });
  // smaller appends help against one limit, and nothing against the other
  for (const [answer, complete] of [
    [whole, "?1"],
    [first, "?0"],
  ] as const) {
    assert.deepEqual([answer.status, answer.fields.get("upload-complete")], [413, complete]);
    assert.match(field(answer, "upload-limit"), limits);
  }
  const at = await created(service);
  const later = await append(service, at, { offset: 0, body: "x".repeat(51) });
  assert.deepEqual([later.status, field(later, "upload-complete")], [413, "?0"]);
  assert.match(field(later, "upload-limit"), limits);
});

test("413: a creation whose announced content is too large leaves no upload behind", async () => {
  await using service = await Service.start({ maxSize: 100, uploads: { maxAppendSize: 50 } });
  for (const fields of [OPEN, LAST]) {
    const answer = await ask(service.port, "POST", "/uploads", { fields, body: "x".repeat(51) });
    assert.deepEqual([answer.status, answer.fields.has("location")], [413, false]);
  }
  const tus = { ...TUS, ...OCTETS, "Upload-Length": "60" };
  assert.equal((await ask(service.port, "POST", "/uploads", { fields: tus, body: "x".repeat(51) })).status, 413);
  assert.equal(await uploadsIn(service), 0);
});

test("invalid creations leave no upload behind", async () => {
  await using service = await Service.start();
  const tus = { ...TUS, ...OCTETS, "Upload-Length": "5" };
  const sha256 = `sha-256=:${base64("short")}:`;
  for (const [fields, status] of [
    [{ ...tus, "Upload-Length": "4" }, 400],
    [{ ...tus, "Upload-Checksum": "md5 1B2M2Y8AsgTpgAmY7PhCfg==" }, 400],
    [{ ...tus, "Upload-Checksum": "nonsense" }, 400],
    [{ ...tus, "Content-Encoding": "gzip" }, 415],
    [{ ...tus, "Upload-Concat": "partial" }, 400],
    [{ ...tus, "Upload-Metadata": "sha256 bm9uc2Vuc2U=" }, 400],
    [{ ...OPEN, "Upload-Length": "4" }, 400],
    [{ ...OPEN, "Content-Digest": sha256 }, 400],
    [{ ...OPEN, "Repr-Digest": "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:" }, 400],
    [{ ...OPEN, "Content-Encoding": "gzip" }, 415],
  ] as const) {
    const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
    assert.equal(answer.status, status, `${JSON.stringify(fields)}: ${answer.body.toString()}`);
    assert.equal(await uploadsIn(service), 0, JSON.stringify(fields));
  }
});

test("a content coding is refused even without content", async () => {
  await using service = await Service.start();
  const coded = { "Content-Encoding": "gzip" };
  const length = { "Upload-Length": "5" };
  const ietf = await ask(service.port, "POST", "/uploads", { fields: { ...OPEN, ...coded }, length: null });
  const tus = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, ...length, ...coded }, length: null });
  assert.deepEqual([ietf.status, tus.status, await uploadsIn(service)], [415, 415, 0]);
});

test("405 lists the supported methods", async () => {
  await using service = await Service.start();
  const at = await created(service);
  for (const [method, fields] of [
    ["PUT", {}],
    ["POST", {}],
    ["POST", TUS],
    ["POST", { ...TUS, "X-HTTP-Method-Override": "TRACE" }],
    ["POST", { ...TUS, "X-HTTP-Method-Override": "toString" }],
  ] as const) {
    const answer = await ask(service.port, method, at, { fields });
    assert.deepEqual([answer.status, answer.fields.get("allow")], [405, "DELETE, GET, HEAD, OPTIONS, PATCH"]);
  }
});

test("415 names the type of an append, and that the upload can continue", async () => {
  await using service = await Service.start();
  const at = await created(service);
  const fields = { "Content-Type": "text/plain", "Upload-Offset": "0", ...OPEN };
  const answer = await ask(service.port, "PATCH", at, { fields, body: "x" });
  assert.equal(answer.status, 415);
  assert.equal(answer.fields.get("accept-patch"), "application/partial-upload");
  assert.equal(answer.fields.get("upload-complete"), "?0");
});

test("a link that accepts resumable uploads states their limits", async () => {
  await using service = await Service.start();
  const answer = await ask(service.port, "OPTIONS", `/uploads/${"0".repeat(64)}.txt`);
  assert.equal(answer.status, 204);
  assert.match(field(answer, "upload-limit"), /max-size=/);
});

test("Expect: 100-continue: an append that is refused is answered before its content", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const partial = { ...PARTIAL, ...OPEN };
  const tus = { ...TUS, ...OCTETS };
  for (const [target, fields, status] of [
    [at, { ...partial, "Upload-Offset": "4" }, 409],
    [at, { ...partial, "Upload-Offset": "5", "Upload-Length": "6" }, 400],
    [at, { ...partial, "Upload-Offset": "5", "Content-Encoding": "br" }, 415],
    [at, { ...tus, "Upload-Offset": "6" }, 409],
    [`/uploads/in-progress/${"0".repeat(32)}`, { ...partial, "Upload-Offset": "0" }, 404],
    [at, { ...partial, "Upload-Offset": "5" }, 100],
  ] as const) {
    await using client = await RawClient.open(service.port);
    await begin(client, "PATCH", target, { fields: { ...fields, Expect: "100-continue" }, length: 1000 });
    assert.equal((await client.answer()).status, status, JSON.stringify(fields));
  }
});

for (const [what, value] of [
  ["text that is not base64", "filename <script>"],
  ["a letter outside ASCII", "näme aGVsbG8="],
  ["a key twice", "name aGVsbG8=,name aGVsbG8="],
  ["more than is kept", `name ${"A".repeat(9000)}`],
] as const) {
  test(`Upload-Metadata with ${what} is refused, so that no response repeats it`, async () => {
    await using service = await Service.start();
    const fields = { ...TUS, "Upload-Length": "5", "Upload-Metadata": value };
    const answer = await ask(service.port, "POST", "/uploads", { fields });
    assert.deepEqual([answer.status, await uploadsIn(service)], [400, 0]);
  });
}

test("Upload-Metadata: a name with line breaks, slashes and quotes is cleaned and escaped everywhere", async () => {
  await using service = await Service.start();
  const name = '../../etc/pass"wd\r\nX-Evil: 1\u202Egnp.html';
  const fields = {
    ...TUS,
    ...OCTETS,
    "Upload-Length": "5",
    "Upload-Metadata": `filename ${base64(name)},filetype ${base64("text/html\r\nX-Evil: 1")}`,
  };
  const done = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
  assert.equal(done.status, 201);
  assert.equal(done.fields.has("x-evil"), false);
  assert.match(field(done, "content-location"), /^\/uploads\/[0-9a-f]{64}\.html$/);
  const told = await ask(service.port, "GET", field(done, "location"), { fields: { Accept: "application/json" } });
  assert.equal(json(told)["name"], 'pass"wdX-Evil: 1gnp.html');
});

for (const length of [
  "9999999999999999",
  "1e3",
  "0x10",
  "5.0",
  "-0.5",
  "5, 5",
  "NaN",
  " ",
  "99999999999999999999999",
]) {
  test(`Upload-Length: ${JSON.stringify(length)} is not an Integer: ignored by one protocol, refused by the other`, async () => {
    await using service = await Service.start();
    const at = await created(service, "hello", { "Upload-Length": length });
    assert.equal((await ask(service.port, "HEAD", at)).fields.has("upload-length"), false);
    // in tus, any number of digits is a number
    const status = /^\d+$/.test(length) ? 413 : 400;
    const answer = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Length": length } });
    assert.equal(answer.status, status);
    const deferred = field(
      await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Defer-Length": "1" } }),
      "location",
    );
    const told = { ...TUS, ...OCTETS, "Upload-Offset": "0", "Upload-Length": length };
    assert.equal((await ask(service.port, "PATCH", deferred, { fields: told })).status, status);
  });
}

test("the largest length that a field can express is too large", async () => {
  await using service = await Service.start();
  for (const protocol of [OPEN, TUS]) {
    const fields = { ...protocol, "Upload-Length": "999999999999999" };
    assert.equal((await ask(service.port, "POST", "/uploads", { fields })).status, 413);
  }
});

test("a refusal during the content reaches a client that reads only after sending everything", async () => {
  await using service = await Service.start({ maxSize: MIB });
  const at = await created(service);
  await using client = await RawClient.open(service.port);
  const fields = { ...PARTIAL, ...LAST, "Upload-Offset": "0", "Transfer-Encoding": "chunked" };
  await begin(client, "PATCH", at, { fields, length: null });
  client.socket.pause();
  for (let sent = 0; sent < 24; sent += 1) {
    await client.send(Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(MIB), Buffer.from("\r\n")]));
  }
  await client.send("0\r\n\r\n");
  client.socket.resume();
  assert.equal((await finalAnswer(client)).status, 413);
});

test("a client whose upload is taken over while it sends can read the reason", async () => {
  await using service = await Service.start();
  const at = await created(service);
  await using client = await RawClient.open(service.port);
  const fields = { ...PARTIAL, ...LAST, "Upload-Offset": "0" };
  await begin(client, "PATCH", at, { fields, length: 24 * MIB });
  await client.send(Buffer.alloc(MIB));
  client.socket.pause();
  while ((await offsetOf(service, at)) === 0) await client.send(Buffer.alloc(1000));
  for (let sent = 0; sent < 22; sent += 1) await client.send(Buffer.alloc(MIB));
  client.socket.resume();
  const answer = await finalAnswer(client);
  assert.deepEqual([answer.status, json(answer)["code"]], [409, "upload-superseded"]);
});

test("OPTIONS of an upload needs neither the upload nor a token, and reveals nothing about either", async () => {
  const authorize = (): void => {
    throw new Error("asked for a token");
  };
  await using service = await Service.start({ authorize });
  for (const id of ["0".repeat(32), "..", ""]) {
    const answer = await ask(service.port, "OPTIONS", `/uploads/in-progress/${id}`);
    assert.equal(answer.status, 204);
    assert.equal(field(answer, "allow"), "DELETE, GET, HEAD, OPTIONS, PATCH");
  }
});
