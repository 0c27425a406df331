/** The requirements of tus 1.0. Each test is named after the section of the protocol that it tests. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { CountingStore } from "../helpers/counting-store.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, type Heard, json } from "./client.ts";

const TUS = { "Tus-Resumable": "1.0.0" };
const OCTETS = { "Content-Type": "application/offset+octet-stream" };

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function created(service: Service, length: number, fields: Record<string, string> = {}): Promise<string> {
  const answer = await ask(service.port, "POST", "/uploads", {
    fields: { ...TUS, "Upload-Length": String(length), ...fields },
  });
  assert.equal(answer.status, 201, answer.body.toString());
  return field(answer, "location");
}

interface Patch {
  readonly offset: number;
  readonly body?: string | Uint8Array;
  readonly fields?: Record<string, string>;
}

function patch(service: Service, at: string, { offset, body = "", fields = {} }: Patch): Promise<Heard> {
  return ask(service.port, "PATCH", at, {
    fields: { ...TUS, ...OCTETS, "Upload-Offset": String(offset), ...fields },
    body,
  });
}

function head(service: Service, at: string): Promise<Heard> {
  return ask(service.port, "HEAD", at, { fields: TUS });
}

test("Core, HEAD: the response always has offset and length, and is not cached", async () => {
  await using service = await Service.start();
  const at = await created(service, 10);
  const fresh = await head(service, at);
  assert.equal(fresh.status, 200);
  assert.deepEqual([field(fresh, "upload-offset"), field(fresh, "upload-length")], ["0", "10"]);
  assert.equal(field(fresh, "cache-control"), "no-store");
  assert.equal(field(fresh, "tus-resumable"), "1.0.0");
  await patch(service, at, { offset: 0, body: "0123456789" });
  assert.equal(field(await head(service, at), "upload-offset"), "10");
});

test("Core, HEAD: the response for an unknown upload has no offset", async () => {
  await using service = await Service.start();
  const answer = await head(service, `/uploads/in-progress/${"0".repeat(32)}`);
  assert.equal(answer.status, 404);
  assert.equal(answer.fields.has("upload-offset"), false);
  assert.equal(field(answer, "tus-resumable"), "1.0.0");
});

test("Core, PATCH: bytes are appended at the offset, and the new offset is returned", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  const first = await patch(service, at, { offset: 0, body: "hello" });
  assert.deepEqual([first.status, field(first, "upload-offset")], [204, "5"]);
  assert.equal(first.fields.has("content-location"), false);
  const last = await patch(service, at, { offset: 5, body: " world" });
  assert.deepEqual([last.status, field(last, "upload-offset")], [204, "11"]);
  const read = await fetch(service.url + field(last, "content-location"));
  assert.equal(await read.text(), "hello world");
});

test("Core, PATCH: another offset is a conflict, and changes nothing", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  await patch(service, at, { offset: 0, body: "hello" });
  assert.equal((await patch(service, at, { offset: 4, body: "x" })).status, 409);
  assert.equal((await patch(service, at, { offset: 6, body: "x" })).status, 409);
  assert.equal(field(await head(service, at), "upload-offset"), "5");
});

test("Core, PATCH: another type, or none, is refused", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  for (const type of ["application/octet-stream", "application/partial-upload", ""]) {
    assert.equal((await patch(service, at, { offset: 0, body: "x", fields: { "Content-Type": type } })).status, 415);
  }
  assert.equal((await patch(service, `${at.slice(0, -32)}${"0".repeat(32)}`, { offset: 0 })).status, 404);
});

test("Core, PATCH: more bytes than the length are refused", async () => {
  await using service = await Service.start();
  const at = await created(service, 3);
  assert.equal((await patch(service, at, { offset: 0, body: "hello" })).status, 400);
  assert.equal((await patch(service, at, { offset: 0, body: "hel" })).status, 204);
});

test("Core, PATCH: the bytes received before the connection breaks are stored", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const at = await created(service, 300_000);
  const client = await RawClient.open(service.port);
  const fields = { ...TUS, ...OCTETS, "Upload-Offset": "0" };
  await begin(client, "PATCH", at, { fields, length: 300_000, body: randomBytes(200_000) });
  await counting.written(200_000);
  client.socket.destroy();
  assert.equal(field(await head(service, at), "upload-offset"), "200000");
});

test("Core, PATCH: the next request ends a stalled one", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const at = await created(service, 11);
  await using stalled = await RawClient.open(service.port);
  await begin(stalled, "PATCH", at, { fields: { ...TUS, ...OCTETS, "Upload-Offset": "0" }, length: 11, body: "hello" });
  await counting.written(5);
  assert.equal(field(await head(service, at), "upload-offset"), "5");
  assert.equal((await patch(service, at, { offset: 5, body: " world" })).status, 204);
  const ended = await finalAnswer(stalled);
  assert.deepEqual([ended.status, field(ended, "tus-resumable")], [409, "1.0.0"]);
});

test("Core, Tus-Resumable: another version is refused without effect", async () => {
  await using service = await Service.start();
  const at = await created(service, 5);
  for (const [method, target] of [
    ["POST", "/uploads"],
    ["HEAD", at],
    ["DELETE", at],
  ] as const) {
    const answer = await ask(service.port, method, target, {
      fields: { "Tus-Resumable": "0.2.2", "Upload-Length": "5" },
    });
    assert.deepEqual([answer.status, field(answer, "tus-version")], [412, "1.0.0"]);
  }
  assert.equal((await head(service, at)).status, 200);
});

test("Core, OPTIONS: versions, extensions and limits are returned, whatever Tus-Resumable is", async () => {
  await using service = await Service.start({ maxSize: 1000 });
  for (const target of ["/uploads", `/uploads/in-progress/${"0".repeat(32)}`]) {
    const answer = await ask(service.port, "OPTIONS", target, { fields: { "Tus-Resumable": "9" } });
    assert.equal(answer.status, 204);
    assert.equal(field(answer, "tus-version"), "1.0.0");
    assert.equal(field(answer, "tus-max-size"), "1000");
    assert.equal(field(answer, "tus-checksum-algorithm"), "sha256,sha1,crc32");
    const extensions = field(answer, "tus-extension").split(",");
    for (const name of ["creation", "creation-with-upload", "creation-defer-length", "expiration", "termination"]) {
      assert.ok(extensions.includes(name), name);
    }
    assert.ok(!extensions.includes("concatenation"));
  }
});

test("Core, X-HTTP-Method-Override: the method in the field applies", async () => {
  await using service = await Service.start();
  const at = await created(service, 5);
  const fields = { ...TUS, ...OCTETS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH" };
  assert.equal((await ask(service.port, "POST", at, { fields, body: "hello" })).status, 204);
  const other = { ...TUS, "X-HTTP-Method-Override": "DELETE" };
  assert.equal((await ask(service.port, "POST", at, { fields: other })).status, 204);
  assert.equal((await head(service, at)).status, 404);
});

test("Creation: a length or Upload-Defer-Length is required", async () => {
  await using service = await Service.start({ maxSize: 100 });
  for (const [fields, status] of [
    [{}, 400],
    [{ "Upload-Length": "-1" }, 400],
    [{ "Upload-Length": "x" }, 400],
    [{ "Upload-Defer-Length": "2" }, 400],
    [{ "Upload-Defer-Length": "1", "Upload-Length": "5" }, 400],
    [{ "Upload-Length": "101" }, 413],
    [{ "Upload-Length": "5", "Upload-Concat": "partial" }, 400],
    [{ "Upload-Length": "5", "Upload-Metadata": "a b c" }, 400],
    [{ "Upload-Length": "5", "Upload-Metadata": "a YQ==,a Yg==" }, 400],
  ] as const) {
    const answer = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, ...fields } });
    assert.deepEqual([answer.status, field(answer, "tus-resumable")], [status, "1.0.0"], JSON.stringify(fields));
  }
});

test("Creation: the creation of an empty file completes it", async () => {
  await using service = await Service.start();
  const answer = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Length": "0" } });
  assert.equal(answer.status, 201);
  assert.equal(field(answer, "content-location"), `/uploads/${sha256("")}`);
});

test("Creation: a length is reported as deferred until it is declared, and cannot change then", async () => {
  await using service = await Service.start();
  const fields = { ...TUS, "Upload-Defer-Length": "1" };
  const at = field(await ask(service.port, "POST", "/uploads", { fields }), "location");
  assert.equal(field(await head(service, at), "upload-defer-length"), "1");
  await patch(service, at, { offset: 0, body: "hello" });
  const told = await patch(service, at, { offset: 5, body: " wor", fields: { "Upload-Length": "11" } });
  assert.equal(told.status, 204);
  const seen = await head(service, at);
  assert.equal(field(seen, "upload-length"), "11");
  assert.equal(seen.fields.has("upload-defer-length"), false);
  assert.equal((await patch(service, at, { offset: 9, body: "ld", fields: { "Upload-Length": "12" } })).status, 400);
  assert.ok(field(await patch(service, at, { offset: 9, body: "ld" }), "content-location"));
});

test("Creation: metadata is returned unchanged, and names the file", async () => {
  await using service = await Service.start();
  const metadata = `filename ${base64("Bericht ü.PNG")},filetype ${base64("image/png")},is_confidential`;
  const at = await created(service, 5, { "Upload-Metadata": metadata });
  assert.equal(field(await head(service, at), "upload-metadata"), metadata);
  const done = await patch(service, at, { offset: 0, body: "hello" });
  assert.match(field(done, "content-location"), /\.png$/);
  const again = await ask(service.port, "GET", at, { fields: { Accept: "application/json" } });
  assert.equal(json(again)["name"], "Bericht ü.PNG");
});

test("Creation: the sha256 in the metadata is checked, and stored content need not be sent", async () => {
  await using service = await Service.start();
  const named = (bytes: string): Record<string, string> => ({ "Upload-Metadata": `sha256 ${base64(sha256(bytes))}` });
  const wrong = await patch(service, await created(service, 5, named("other")), { offset: 0, body: "hello" });
  assert.deepEqual([wrong.status, json(wrong)["code"]], [422, "digest-mismatch"]);
  const right = await patch(service, await created(service, 5, named("hello")), { offset: 0, body: "hello" });
  assert.equal(right.status, 204);
  const fields = { ...TUS, "Upload-Length": "5", ...named("hello") };
  const known = await ask(service.port, "POST", "/uploads", { fields });
  assert.deepEqual([known.status, field(known, "upload-offset")], [201, "5"]);
  assert.equal(field(known, "content-location"), `/uploads/${sha256("hello")}`);
  // a client that sends it nevertheless learns the offset: the server does not know the bytes that it sends
  const sent = await patch(service, field(known, "location"), { offset: 0, body: "hello" });
  assert.deepEqual([sent.status, field(sent, "upload-offset")], [409, "5"]);
  assert.equal(field(await head(service, field(known, "location")), "upload-offset"), "5");
});

test("Creation: without content, the type is ignored", async () => {
  await using service = await Service.start();
  for (const type of ["application/false", "text/plain", ""]) {
    const fields = { ...TUS, "Upload-Length": "5", "Content-Type": type };
    assert.equal((await ask(service.port, "POST", "/uploads", { fields })).status, 201);
  }
});

test("Creation: a deferred length that is declared after the last byte completes the upload", async () => {
  await using service = await Service.start();
  const fields = { ...TUS, "Upload-Defer-Length": "1" };
  const at = field(await ask(service.port, "POST", "/uploads", { fields }), "location");
  await patch(service, at, { offset: 0, body: "hello" });
  const less = await patch(service, at, { offset: 5, fields: { "Upload-Length": "4" } });
  assert.deepEqual([less.status, json(less)["code"]], [400, "inconsistent-length"]);
  const done = await patch(service, at, { offset: 5, fields: { "Upload-Length": "5" } });
  assert.deepEqual([done.status, field(done, "upload-offset")], [204, "5"]);
  assert.equal(field(done, "content-location"), `/uploads/${sha256("hello")}`);
});

for (const length of ["known", "deferred"]) {
  for (const coding of ["announced", "chunked"]) {
    test(`Tus-Max-Size: applies to a ${length} length and ${coding} content`, async () => {
      await using service = await Service.start({ maxSize: 10 });
      const fields = length === "known" ? { "Upload-Length": "10" } : { "Upload-Defer-Length": "1" };
      const begun = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, ...fields } });
      const at = field(begun, "location");
      const sent = { ...TUS, ...OCTETS, "Upload-Offset": "0" };
      const chunked = { ...sent, "Transfer-Encoding": "chunked" };
      const answer =
        coding === "announced"
          ? await ask(service.port, "PATCH", at, { fields: sent, body: "x".repeat(11) })
          : await ask(service.port, "PATCH", at, {
              fields: chunked,
              length: null,
              body: `b\r\n${"x".repeat(11)}\r\n0\r\n\r\n`,
            });
      assert.equal(answer.status, length === "known" ? 400 : 413);
      assert.equal(await service.count(), 0);
    });
  }
}

test("Core, PATCH: chunked content is accepted up to the end of the upload", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  const fields = { ...TUS, ...OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked" };
  const body = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
  const done = await ask(service.port, "PATCH", at, { fields, length: null, body });
  assert.equal(field(done, "content-location"), `/uploads/${sha256("hello world")}`);
});

test("Core, Tus-Resumable: a PATCH without it is not a tus request", async () => {
  await using service = await Service.start();
  const at = await created(service, 5);
  const answer = await ask(service.port, "PATCH", at, { fields: { ...OCTETS, "Upload-Offset": "0" }, body: "hello" });
  assert.equal(answer.status, 415);
  assert.equal(field(await head(service, at), "upload-offset"), "0");
});

test("Core, HEAD: during an append of the same client, it returns the offset to continue from", async () => {
  await using service = await Service.start();
  const at = await created(service, 1000);
  await using sending = await RawClient.open(service.port);
  const fields = { ...TUS, ...OCTETS, "Upload-Offset": "0" };
  await begin(sending, "PATCH", at, { fields, length: 1000, body: "x".repeat(600) });
  let offset = 0;
  while (offset === 0) offset = Number(field(await head(service, at), "upload-offset"));
  await sending.send("y".repeat(400));
  assert.equal((await finalAnswer(sending)).status, 409);
  assert.equal(field(await head(service, at), "upload-offset"), String(offset));
  const done = await patch(service, at, { offset, body: "z".repeat(1000 - offset) });
  const expected = "x".repeat(offset) + "z".repeat(1000 - offset);
  assert.equal(field(done, "content-location"), `/uploads/${sha256(expected)}`);
});

test("Core, GET: an unfinished upload reports its offset", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  await patch(service, at, { offset: 0, body: "hello" });
  const answer = await ask(service.port, "GET", at, { fields: TUS });
  assert.deepEqual([answer.status, field(answer, "upload-offset"), answer.body.length], [204, "5", 0]);
});

test("Creation With Upload: the offset includes the bytes of the creation", async () => {
  await using service = await Service.start();
  const fields = { ...TUS, ...OCTETS, "Upload-Length": "11" };
  const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
  assert.deepEqual([answer.status, field(answer, "upload-offset")], [201, "5"]);
  const done = await patch(service, field(answer, "location"), { offset: 5, body: " world" });
  assert.equal(field(done, "content-location"), `/uploads/${sha256("hello world")}`);
  const whole = await ask(service.port, "POST", "/uploads", { fields, body: "hello world" });
  assert.equal(field(whole, "content-location"), `/uploads/${sha256("hello world")}`);
  const untyped = await ask(service.port, "POST", "/uploads", {
    fields: { ...TUS, "Upload-Length": "5" },
    body: "hello",
  });
  assert.equal(untyped.status, 415);
});

test("Expiration: unfinished uploads state when they expire, and no longer exist then", async () => {
  await using service = await Service.start({ uploads: { expiry: 3000 } });
  const at = await created(service, 11);
  const before = Date.now();
  const answer = await patch(service, at, { offset: 0, body: "hello" });
  const expires = Date.parse(field(answer, "upload-expires"));
  // the field has whole seconds
  assert.ok(expires > before + 2000 && expires < Date.now() + 4000, field(answer, "upload-expires"));
  while ((await head(service, at)).status !== 404) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await patch(service, at, { offset: 5, body: " world" })).status, 404);
});

const CHECKSUMS: Record<string, (text: string) => string> = {
  sha256: (text) => createHash("sha256").update(text).digest("base64"),
  sha1: (text) => createHash("sha1").update(text).digest("base64"),
  crc32: (text) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(crc32(text));
    return bytes.toString("base64");
  },
};

for (const [algorithm, sum] of Object.entries(CHECKSUMS)) {
  for (const where of ["field", "trailer"]) {
    test(`Checksum: ${algorithm}, as a ${where}: a wrong one does not change the offset`, async () => {
      await using service = await Service.start();
      const at = await created(service, 11);
      const send = (value: string): Promise<Heard> => {
        const checksum = `${algorithm} ${value}`;
        if (where === "field")
          return patch(service, at, { offset: 0, body: "hello", fields: { "Upload-Checksum": checksum } });
        const fields = {
          ...TUS,
          ...OCTETS,
          "Upload-Offset": "0",
          "Transfer-Encoding": "chunked",
          Trailer: "Upload-Checksum",
        };
        const body = `5\r\nhello\r\n0\r\nUpload-Checksum: ${checksum}\r\n\r\n`;
        return ask(service.port, "PATCH", at, { fields, length: null, body });
      };
      const wrong = await send(sum("other"));
      assert.deepEqual([wrong.status, json(wrong)["code"]], [460, "checksum-mismatch"]);
      assert.equal(field(await head(service, at), "upload-offset"), "0");
      assert.equal((await send(sum("hello"))).status, 204);
      assert.ok(field(await patch(service, at, { offset: 5, body: " world" }), "content-location"));
    });
  }
}

test("Checksum: an unknown algorithm is refused", async () => {
  await using service = await Service.start();
  const at = await created(service, 5);
  for (const checksum of ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", "sha1 ***"]) {
    assert.equal(
      (await patch(service, at, { offset: 0, body: "hello", fields: { "Upload-Checksum": checksum } })).status,
      400,
    );
  }
  assert.equal(field(await head(service, at), "upload-offset"), "0");
});

test("Termination: the upload is removed, but not the blob of a completed one", async () => {
  await using service = await Service.start();
  const open = await created(service, 5);
  const done = await created(service, 5);
  const link = field(await patch(service, done, { offset: 0, body: "hello" }), "content-location");
  for (const at of [open, done]) {
    assert.equal((await ask(service.port, "DELETE", at, { fields: TUS })).status, 204);
    assert.equal((await head(service, at)).status, 404);
    assert.equal((await ask(service.port, "DELETE", at, { fields: TUS })).status, 404);
  }
  assert.equal((await fetch(service.url + link)).status, 200);
});

test("an upload begun in one protocol can be continued in the other", async () => {
  await using service = await Service.start();
  const at = await created(service, 11);
  const fields = { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0" };
  assert.equal((await ask(service.port, "PATCH", at, { fields, body: "hello" })).status, 204);
  assert.equal(field(await head(service, at), "upload-offset"), "5");
  assert.ok(field(await patch(service, at, { offset: 5, body: " world" }), "content-location"));
});

test("a page of an allowed origin may send and read the fields that tus needs", async () => {
  await using service = await Service.start({ cors: { origins: ["https://app.example.com"] } });
  const origin = { Origin: "https://app.example.com" };
  const wanted = "content-type,tus-resumable,upload-length,upload-metadata,upload-offset,x-request-id";
  const preflight = await ask(service.port, "OPTIONS", "/uploads", {
    fields: { ...origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": wanted },
  });
  const allowed = field(preflight, "access-control-allow-headers").toLowerCase().split(", ");
  for (const name of wanted.split(",")) assert.ok(allowed.includes(name), name);
  assert.match(field(preflight, "access-control-allow-methods"), /PATCH/);
  const answer = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, ...origin, "Upload-Length": "5" } });
  const exposed = field(answer, "access-control-expose-headers").split(", ");
  for (const name of ["Location", "Upload-Offset", "Tus-Resumable", "Content-Location"])
    assert.ok(exposed.includes(name));
});
