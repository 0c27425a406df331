/**
 * The requirements of draft-ietf-httpbis-resumable-upload (interop version 9), with the memory
 * store. Each test is named after the section that it tests. Further guarantees of the disk and S3
 * stores are tested with those.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { CountingStore } from "../helpers/counting-store.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, json } from "./client.ts";
import { append, created, LAST, offsetOf, OPEN, PARTIAL } from "./ietf-client.ts";

const MISMATCH = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
const INCONSISTENT = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

test("Upload Creation: a request for a part of the representation is answered with the upload resource", async () => {
  await using service = await Service.start();
  const answer = await ask(service.port, "POST", "/uploads", {
    fields: { ...OPEN, "Upload-Length": "10" },
    body: "hello",
  });
  assert.equal(answer.status, 201);
  assert.match(field(answer, "location"), /^\/uploads\/in-progress\/[0-9a-f]{32}$/);
  assert.equal(field(answer, "upload-complete"), "?0");
  assert.equal(field(answer, "upload-offset"), "5");
  assert.match(field(answer, "upload-limit"), /^max-size=\d+, max-age=\d+$/);
  assert.equal(await service.count(), 0);
});

test("Upload Creation: a complete upload in one request gets the response of a plain upload, and Upload-Complete", async () => {
  await using service = await Service.start();
  const fields = { ...LAST, "Content-Disposition": 'inline; filename="a.txt"' };
  const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
  const plain = await ask(service.port, "POST", "/uploads?filename=a.txt", { body: "hello" });
  assert.equal(answer.status, 201);
  assert.equal(field(answer, "upload-complete"), "?1");
  assert.deepEqual(json(answer), json(plain));
  assert.equal(field(answer, "location"), `/uploads/${sha256("hello")}.txt`);
});

test("Upload Creation: a PUT to a link can be resumed, and the whole must have the digest in the link", async () => {
  await using service = await Service.start();
  const link = `/uploads/${sha256("hello world")}.txt`;
  const begun = await ask(service.port, "PUT", link, { fields: { ...OPEN }, body: "hello" });
  assert.equal(begun.status, 201);
  const done = await append(service, field(begun, "location"), { offset: 5, body: " world", fields: LAST });
  assert.equal(done.status, 201);
  assert.equal(json(done)["url"], link);
  const wrong = await ask(service.port, "PUT", `/uploads/${sha256("other")}`, { fields: LAST, body: "hello" });
  assert.equal(wrong.status, 422);
  assert.equal(field(wrong, "upload-complete"), "?1");
});

test("Upload Creation: an upload that announces stored content is complete at once", async () => {
  await using service = await Service.start();
  await ask(service.port, "POST", "/uploads", { body: "hello" });
  const digest = createHash("sha256").update("hello").digest("base64");
  const fields = { ...OPEN, "Repr-Digest": `sha-256=:${digest}:`, "Upload-Length": "5" };
  const answer = await ask(service.port, "POST", "/uploads", { fields });
  assert.equal(answer.status, 200);
  assert.equal(field(answer, "upload-complete"), "?1");
  assert.deepEqual(await Array.fromAsync(service.fixity.store.uploads?.list() ?? []), []);
});

test("Upload Creation: a request without content creates an empty upload, or an empty file if it is complete", async () => {
  await using service = await Service.start();
  assert.equal(await offsetOf(service, await created(service)), 0);
  const empty = await ask(service.port, "POST", "/uploads", { fields: LAST });
  assert.equal(empty.status, 201);
  assert.equal(json(empty)["size"], 0);
});

test("Upload Creation: type and name of the creation determine the link, whichever request completes it", async () => {
  await using service = await Service.start();
  const at = await created(service, "a", { "Content-Type": "image/png" });
  assert.match(String(json(await append(service, at, { offset: 1, fields: LAST }))["url"]), /\.png$/);
});

for (const value of ["1", "true", "?2", '"?1"', ""]) {
  test(`Completeness: ${JSON.stringify(value)} is not a Boolean, and the field is ignored`, async () => {
    await using service = await Service.start();
    const answer = await ask(service.port, "POST", "/uploads", { fields: { "Upload-Complete": value }, body: "hello" });
    assert.equal(answer.status, 201);
    assert.equal(answer.fields.has("upload-complete"), false);
  });
}

test("Length: two values that differ, in one request or in two, are inconsistent", async () => {
  await using service = await Service.start();
  const once = await ask(service.port, "POST", "/uploads", {
    fields: { ...LAST, "Upload-Length": "6" },
    body: "hello",
  });
  assert.equal(once.status, 400);
  assert.equal(json(once)["type"], INCONSISTENT);
  const at = await created(service, "hello", { "Upload-Length": "10" });
  const changed = await append(service, at, { offset: 5, body: "wor", fields: { "Upload-Length": "11" } });
  assert.equal(changed.status, 400);
  assert.equal(json(changed)["type"], INCONSISTENT);
  assert.equal(field(changed, "upload-complete"), "?0");
  const early = await append(service, at, { offset: 5, body: "wor", fields: LAST });
  assert.equal(json(early)["type"], INCONSISTENT);
  assert.equal(await offsetOf(service, at), 5);
});

test("Length: it may be declared later, and an offset that reaches it does not complete the upload", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const appended = await append(service, at, { offset: 5, body: "world", fields: { "Upload-Length": "10" } });
  assert.equal(appended.status, 204);
  assert.equal(field(appended, "upload-length"), "10");
  const seen = await ask(service.port, "HEAD", at);
  assert.deepEqual([field(seen, "upload-complete"), field(seen, "upload-offset")], ["?0", "10"]);
  assert.equal((await append(service, at, { offset: 10, fields: LAST })).status, 201);
});

test("Limits: OPTIONS returns them, with Accept-Patch", async () => {
  await using service = await Service.start({
    maxSize: 1000,
    uploads: { maxAppendSize: 100, minAppendSize: 10, expiry: 60_000 },
  });
  const answer = await ask(service.port, "OPTIONS", "/uploads");
  assert.equal(answer.status, 204);
  assert.equal(field(answer, "upload-limit"), "max-size=1000, max-append-size=100, min-append-size=10, max-age=60");
  assert.equal(field(answer, "accept-patch"), "application/partial-upload");
});

test("Limits: appends over the maximum or below the minimum are refused, except for a small last one and an empty creation", async () => {
  await using service = await Service.start({ uploads: { maxAppendSize: 8, minAppendSize: 4 } });
  const at = await created(service);
  assert.equal((await append(service, at, { offset: 0, body: "123456789" })).status, 413);
  assert.equal((await append(service, at, { offset: 0, body: "123" })).status, 400);
  assert.equal((await append(service, at, { offset: 0, body: "1234" })).status, 204);
  assert.equal((await append(service, at, { offset: 4, body: "5", fields: LAST })).status, 201);
});

test("Limits: max-age decreases, and then the upload no longer exists", async () => {
  await using service = await Service.start({ uploads: { expiry: 1500 } });
  const at = await created(service, "hello");
  assert.match(field(await ask(service.port, "HEAD", at), "upload-limit"), /max-age=[01]$/);
  while ((await ask(service.port, "HEAD", at)).status !== 404) await new Promise((resolve) => setTimeout(resolve, 20));
  const gone = await ask(service.port, "HEAD", at);
  assert.equal(gone.status, 404);
  assert.equal(gone.fields.has("upload-offset"), false);
});

test("Limits: uploads over the limit of open ones are refused until another one ends", async () => {
  await using service = await Service.start({ uploads: { maxOpen: 1 } });
  const at = await created(service);
  const refused = await ask(service.port, "POST", "/uploads", { fields: OPEN });
  assert.equal(refused.status, 503);
  assert.match(field(refused, "retry-after"), /^\d+$/);
  assert.equal(field(refused, "upload-complete"), "?0");
  assert.match(field(refused, "upload-limit"), /^max-size=/);
  await ask(service.port, "DELETE", at);
  await created(service);
});

test("Offset Retrieval: HEAD and GET return offset, length, completeness and limits, and are not cached", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello", { "Upload-Length": "10" });
  for (const method of ["HEAD", "GET"]) {
    const answer = await ask(service.port, method, at);
    assert.equal(answer.status, 204);
    assert.equal(field(answer, "upload-offset"), "5");
    assert.equal(field(answer, "upload-length"), "10");
    assert.equal(field(answer, "upload-complete"), "?0");
    assert.match(field(answer, "upload-limit"), /max-size=/);
    assert.equal(field(answer, "cache-control"), "no-store");
  }
});

test("Offset Retrieval: an unknown length is not returned", async () => {
  await using service = await Service.start();
  assert.equal((await ask(service.port, "HEAD", await created(service, "hello"))).fields.has("upload-length"), false);
});

test("Upload Append: appends add up to the whole, and each response has the offset", async () => {
  await using service = await Service.start();
  const at = await created(service, "one ");
  const second = await append(service, at, { offset: 4, body: "two " });
  assert.deepEqual([second.status, field(second, "upload-complete"), field(second, "upload-offset")], [204, "?0", "8"]);
  const third = await append(service, at, { offset: 8, body: "three", fields: LAST });
  assert.equal(third.status, 201);
  assert.equal(json(third)["digest"], `sha256:${sha256("one two three")}`);
  assert.equal(field(third, "upload-complete"), "?1");
});

test("Upload Append: a wrong offset is refused with 409 and the expected offset", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  for (const offset of [0, 4, 6]) {
    const answer = await append(service, at, { offset, body: "x" });
    assert.equal(answer.status, 409);
    assert.equal(field(answer, "upload-offset"), "5");
    assert.equal(field(answer, "upload-complete"), "?0");
    const problem = json(answer);
    assert.deepEqual([problem["type"], problem["expected-offset"], problem["provided-offset"]], [MISMATCH, 5, offset]);
  }
  assert.equal(await offsetOf(service, at), 5);
});

test("Upload Append: the type must be application/partial-upload, with offset and completeness", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const patch = (fields: Record<string, string>) => ask(service.port, "PATCH", at, { fields, body: "x" });
  assert.equal((await patch({ ...OPEN, "Upload-Offset": "5" })).status, 415);
  assert.equal((await patch({ ...OPEN, "Upload-Offset": "5", "Content-Type": "text/plain" })).status, 415);
  assert.equal((await patch({ ...PARTIAL, ...OPEN })).status, 400);
  assert.equal((await patch({ ...PARTIAL, "Upload-Offset": "5" })).status, 400);
  for (const offset of ["-5", "5.0", '"5"', "x", "?1"]) {
    assert.equal((await patch({ ...PARTIAL, ...OPEN, "Upload-Offset": offset })).status, 400, offset);
  }
});

test("Upload Append: a complete upload repeats its response for an empty append at its end", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const first = await append(service, at, { offset: 5, body: " world", fields: LAST });
  const again = await append(service, at, { offset: 11, fields: LAST });
  assert.equal(again.status, 201);
  assert.deepEqual(json(again), json(first));
  assert.equal(field(again, "upload-complete"), "?1");
});

test("Upload Append: HEAD and GET repeat the response of a complete upload", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const first = await append(service, at, { offset: 5, fields: LAST });
  const head = await ask(service.port, "HEAD", at);
  assert.equal(head.status, 204);
  assert.deepEqual([field(head, "upload-complete"), field(head, "upload-offset")], ["?1", "5"]);
  assert.equal(field(head, "content-location"), json(first)["url"]);
  const again = await ask(service.port, "GET", at, { fields: { Accept: "application/json" } });
  assert.deepEqual(json(again), json(first));
  const followed = await ask(service.port, "GET", at);
  assert.deepEqual([followed.status, field(followed, "location")], [303, String(json(first)["url"])]);
});

test("Upload Append: bytes received before the connection broke count, and the upload is not complete", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const bytes = randomBytes(300_000);
  const at = await created(service, bytes.subarray(0, 1000));
  const client = await RawClient.open(service.port);
  const fields = { ...PARTIAL, ...LAST, "Upload-Offset": "1000" };
  await begin(client, "PATCH", at, { fields, length: 299_000, body: bytes.subarray(1000, 200_000) });
  await counting.written(200_000);
  client.socket.destroy();
  const offset = await offsetOf(service, at);
  assert.ok(offset > 200_000 - 65_536 && offset <= 200_000, `${offset}`);
  const rest = await append(service, at, { offset, body: bytes.subarray(offset), fields: LAST });
  assert.equal(json(rest)["digest"], `sha256:${sha256(bytes)}`);
});

test("Upload Cancellation: after DELETE the upload no longer exists", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  assert.equal((await ask(service.port, "DELETE", at)).status, 204);
  for (const method of ["HEAD", "GET", "DELETE"]) assert.equal((await ask(service.port, method, at)).status, 404);
  assert.equal((await append(service, at, { offset: 5, body: "x" })).status, 404);
});

test("Concurrency: a new append ends the running one, and their bytes are not mixed", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const bytes = randomBytes(100_000);
  const at = await created(service);
  await using stalled = await RawClient.open(service.port);
  const fields = { ...PARTIAL, ...LAST, "Upload-Offset": "0" };
  await begin(stalled, "PATCH", at, { fields, length: bytes.length, body: bytes.subarray(0, 30_000) });
  await counting.written(30_000);
  const offset = await offsetOf(service, at);
  assert.equal(offset, 30_000);
  const done = await append(service, at, { offset, body: bytes.subarray(offset), fields: LAST });
  assert.equal(json(done)["digest"], `sha256:${sha256(bytes)}`);
  const ended = await finalAnswer(stalled);
  assert.equal(ended.status, 409);
  assert.equal(json(ended)["code"], "upload-superseded");
});

test("Concurrency: a cancellation ends the running append", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const at = await created(service);
  await using stalled = await RawClient.open(service.port);
  await begin(stalled, "PATCH", at, { fields: { ...PARTIAL, ...LAST, "Upload-Offset": "0" }, length: 1000, body: "x" });
  await counting.written(1);
  assert.equal((await ask(service.port, "DELETE", at)).status, 204);
  assert.equal((await finalAnswer(stalled)).status, 409);
});

for (const version of [5, 6, 7, 8, 9]) {
  test(`Status Code 104: a client of interop version ${version} receives the upload's URL at once, in that version`, async () => {
    await using service = await Service.start();
    const fields = { ...LAST, "Upload-Draft-Interop-Version": String(version) };
    const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
    const first = answer.interim.find(({ status }) => status === 104);
    assert.ok(first);
    assert.equal(field(first, "upload-draft-interop-version"), String(version));
    assert.match(field(first, "location"), /^\/uploads\/in-progress\//);
    assert.match(field(first, "upload-limit"), /max-size=/);
    for (const { fields: later } of answer.interim.slice(1)) assert.equal(later.has("location"), false);
  });
}

for (const [what, fields] of [
  ["missing", {}],
  ["unknown", { "Upload-Draft-Interop-Version": "10" }],
  ["no number", { "Upload-Draft-Interop-Version": "x" }],
] as const) {
  test(`Draft Version Identification: no 104 if the interop version is ${what}`, async () => {
    await using service = await Service.start();
    const answer = await ask(service.port, "POST", "/uploads", { fields: { ...LAST, ...fields }, body: "hello" });
    assert.deepEqual([answer.status, answer.interim.length], [201, 0]);
  });
}

test("Status Code 104: it does not replace 100 Continue", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  const fields = { ...LAST, "Upload-Draft-Interop-Version": "8", Expect: "100-continue" };
  await begin(client, "POST", "/uploads", { fields, length: 5 });
  const statuses = [(await client.answer()).status, (await client.answer()).status];
  assert.deepEqual(new Set(statuses), new Set([100, 104]));
  await client.send("hello");
  assert.equal((await finalAnswer(client)).status, 201);
});

test("Status Code 104: progress is reported as offsets, without a URL", async () => {
  await using service = await Service.start();
  const at = await created(service);
  const fields = { ...LAST, "Upload-Draft-Interop-Version": "8" };
  const answer = await append(service, at, { offset: 0, body: randomBytes(100_000), fields });
  const offsets = answer.interim.map((interim) => Number(field(interim, "upload-offset")));
  assert.equal(offsets.at(-1), 100_000);
  for (const interim of answer.interim) assert.equal(interim.fields.has("location"), false);
});

test("Status Code 104: a client of HTTP/1.0 receives none", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  await client.send(
    "POST /uploads HTTP/1.0\r\nUpload-Complete: ?1\r\nUpload-Draft-Interop-Version: 8\r\nContent-Length: 5\r\n\r\nhello",
  );
  assert.equal((await client.answer()).status, 201);
});

test("interop versions 5 and 6: appends are answered with 201, and HEAD with fields of appends is refused", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const five = { "Upload-Draft-Interop-Version": "5" };
  const untyped = { ...OPEN, ...five, "Upload-Offset": "5" };
  assert.equal((await ask(service.port, "PATCH", at, { fields: untyped, body: " wor" })).status, 201);
  const six = { "Upload-Draft-Interop-Version": "6" };
  const appended = await append(service, at, { offset: 9, body: "l", fields: six });
  assert.equal(appended.status, 201);
  assert.match(field(appended, "upload-limit"), /expires=\d+/);
  assert.equal((await ask(service.port, "HEAD", at, { fields: { ...six, "Upload-Offset": "5" } })).status, 400);
  assert.equal((await ask(service.port, "DELETE", at, { fields: { ...five, ...OPEN } })).status, 400);
  assert.equal(await offsetOf(service, at), 10);
});

test("a form with Upload-Complete is a plain form upload", async () => {
  await using service = await Service.start();
  const body = '--b\r\nContent-Disposition: form-data; name="upload"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n';
  const fields = { ...LAST, "Content-Type": "multipart/form-data; boundary=b" };
  const answer = await ask(service.port, "POST", "/uploads", { fields, body });
  assert.equal(answer.status, 201);
  assert.equal(json(answer)["digest"], `sha256:${sha256("hello")}`);
});
