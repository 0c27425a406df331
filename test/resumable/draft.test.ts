/**
 * What the fields of responses say in draft-ietf-httpbis-resumable-upload (docs/resumable.md names the text), as tables by the
 * section that demands it: who refuses (`Upload-Complete`), where to continue (`Upload-Offset`), within which limits
 * (`Upload-Limit`).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../src/index.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, type ServiceOptions, sha256 } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, type Heard, json, type Sent } from "./client.ts";
import { append, created, LAST, offsetOf, OPEN, PARTIAL } from "./ietf-client.ts";

const INCONSISTENT = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64");
const digestOf = (text: string): string => `sha-256=:${base64(sha256(text))}:`;

function chunked(...pieces: readonly string[]): Sent & { readonly fields: Record<string, string> } {
  const body = [...pieces, ""].map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("");
  return { fields: { "Transfer-Encoding": "chunked" }, length: null, body };
}

async function uploadsIn({ fixity }: Service): Promise<number> {
  return (await Array.fromAsync(fixity.store.uploads?.list() ?? [])).length;
}

interface Refusal {
  readonly what: string;
  readonly method?: string;
  readonly target?: string;
  readonly fields: Record<string, string>;
  readonly body?: string;
  readonly options?: ServiceOptions;
  readonly status: number;
  readonly complete: "?0" | "?1";
}

const refuse = (code: "unauthorized" | "forbidden") => (): never => {
  throw new FixityError(code, "No.");
};

/** Creations that are refused before there is an upload. */
const REFUSED_CREATIONS: readonly Refusal[] = [
  // the targeted resource speaks: nothing to resume
  { what: "a length over max-size", fields: { ...OPEN, "Upload-Length": "11" }, status: 413, complete: "?1" },
  { what: "content over max-size", fields: LAST, body: "more than ten", status: 413, complete: "?1" },
  { what: "a content coding", fields: { ...OPEN, "Content-Encoding": "gzip" }, status: 415, complete: "?1" },
  {
    what: "a digest of no known algorithm",
    fields: { ...OPEN, "Repr-Digest": "md5=:AAAA:" },
    status: 400,
    complete: "?1",
  },
  { what: "a digest that is none", fields: { ...OPEN, "Repr-Digest": "nonsense" }, status: 400, complete: "?1" },
  {
    what: "a link and a Repr-Digest that differ",
    method: "PUT",
    target: `/uploads/${sha256("hello")}`,
    fields: { ...LAST, "Repr-Digest": digestOf("other") },
    body: "hello",
    status: 422,
    complete: "?1",
  },
  ...(["unauthorized", "forbidden"] as const).map((code): Refusal => ({
    what: `a client that is ${code}`,
    fields: OPEN,
    options: { authorize: refuse(code) },
    status: code === "unauthorized" ? 401 : 403,
    complete: "?1",
  })),
  // the upload protocol speaks
  { what: "two lengths", fields: { ...LAST, "Upload-Length": "6" }, body: "hello", status: 400, complete: "?0" },
  {
    what: "content past the length",
    fields: { ...OPEN, "Upload-Length": "4" },
    body: "hello",
    status: 400,
    complete: "?0",
  },
  {
    what: "content over max-append-size",
    fields: OPEN,
    body: "hello",
    options: { uploads: { maxAppendSize: 4 } },
    status: 413,
    complete: "?0",
  },
  {
    what: "content below min-append-size",
    fields: OPEN,
    body: "hello",
    options: { uploads: { minAppendSize: 6 } },
    status: 400,
    complete: "?0",
  },
  {
    what: "a fault of the server's",
    fields: OPEN,
    options: {
      authorize: () => {
        throw new Error("broken");
      },
    },
    status: 500,
    complete: "?0",
  },
];

for (const refusal of REFUSED_CREATIONS) {
  const { what, method = "POST", target = "/uploads", fields, body, options = {}, status, complete } = refusal;
  test(`Completeness: ${what} refuses a creation with ${complete}, the limits, and no upload`, async () => {
    await using service = await Service.start({ maxSize: 10, ...options });
    const answer = await ask(service.port, method, target, { fields, ...(body !== undefined && { body }) });
    assert.deepEqual([answer.status, field(answer, "upload-complete")], [status, complete], answer.body.toString());
    assert.match(field(answer, "upload-limit"), /^max-size=10, /);
    for (const absent of ["location", "upload-offset"]) assert.equal(answer.fields.has(absent), false, absent);
    assert.equal(await uploadsIn(service), 0);
  });
}

test("Completeness: a form cannot be resumed, and its refusal does not speak of it", async () => {
  await using service = await Service.start();
  const fields = { ...LAST, "Content-Type": "multipart/form-data" };
  const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
  assert.deepEqual([answer.status, answer.fields.has("upload-complete")], [400, false]);
});

/** Requests to an upload of 5 bytes that fail and leave it as it was. */
const FAILED_APPENDS: readonly (Refusal & { readonly sent?: Sent })[] = [
  { what: "another offset", fields: { "Upload-Offset": "4" }, body: "x", status: 409, complete: "?0" },
  { what: "another length", fields: { "Upload-Length": "9" }, body: "x", status: 400, complete: "?0" },
  { what: "an end before the length", fields: LAST, body: "x", status: 400, complete: "?0" },
  { what: "an end before the length, in chunks", fields: LAST, sent: chunked(), status: 400, complete: "?0" },
  {
    what: "a wrong Content-Digest",
    fields: { "Content-Digest": digestOf("y") },
    body: "x",
    status: 422,
    complete: "?0",
  },
  {
    what: "content over max-append-size",
    fields: {},
    body: "hello",
    options: { uploads: { maxAppendSize: 4 } },
    status: 413,
    complete: "?0",
  },
  {
    what: "content below min-append-size",
    fields: {},
    body: "x",
    options: { uploads: { minAppendSize: 2 } },
    status: 400,
    complete: "?0",
  },
];

for (const { what, fields, body, sent, options = {}, status, complete } of FAILED_APPENDS) {
  test(`Upload Append: ${what} fails with ${complete} and the offset to continue from`, async () => {
    await using service = await Service.start({ maxSize: 100, ...options });
    const limits = options.uploads;
    const at = await created(service, limits === undefined ? "hello" : "", { "Upload-Length": "20" });
    const offset = limits === undefined ? 5 : 0;
    const answer = await ask(service.port, "PATCH", at, {
      ...(body !== undefined && { body }),
      ...sent,
      fields: { ...PARTIAL, ...OPEN, "Upload-Offset": String(offset), ...fields, ...sent?.fields },
    });
    assert.deepEqual([answer.status, field(answer, "upload-complete")], [status, complete], answer.body.toString());
    assert.equal(field(answer, "upload-offset"), String(offset));
    if (limits !== undefined) assert.match(field(answer, "upload-limit"), /^max-size=100, (max|min)-append-size=/);
    assert.equal(await offsetOf(service, at), offset);
  });
}

for (const code of ["unauthorized", "forbidden"] as const) {
  test(`Upload Append: a client that is ${code} is refused with ?0 and learns nothing of the upload`, async () => {
    await using service = await Service.start({ authorize: refuse(code) });
    const answer = await append(service, `/uploads/in-progress/${"0".repeat(32)}`, { offset: 0 });
    assert.equal(answer.status, code === "unauthorized" ? 401 : 403);
    assert.equal(field(answer, "upload-complete"), "?0");
    assert.equal(answer.fields.has("upload-offset"), false);
  });
}

test("Upload Creation: a creation whose content fails names the upload and the offset to continue from", async () => {
  await using service = await Service.start();
  const fields = { ...OPEN, "Content-Digest": digestOf("other") };
  const answer = await ask(service.port, "POST", "/uploads", { fields, body: "hello" });
  assert.deepEqual([answer.status, field(answer, "upload-complete"), field(answer, "upload-offset")], [422, "?0", "0"]);
  assert.match(field(answer, "upload-limit"), /^max-size=/);
  assert.equal(await offsetOf(service, field(answer, "location")), 0);
});

test("Integrity: a Repr-Digest of the creation is checked at the end, and the verdict is final", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello", { "Repr-Digest": digestOf("other") });
  const answer = await append(service, at, { offset: 5, fields: LAST });
  assert.deepEqual([answer.status, field(answer, "upload-complete")], [422, "?1"]);
  assert.equal(await service.count(), 0);
});

/** Content that ends past the length of 8, or past max-size, in every way that it can come. */
const EXCESSES: readonly (readonly [what: string, sent: Sent])[] = [
  ["announced", { fields: OPEN, body: "world" }],
  ["announced as the last", { fields: LAST, body: "world" }],
  ["in chunks", { ...chunked("world"), fields: { ...OPEN, ...chunked().fields } }],
  ["in chunks, as the last", { ...chunked("wor", "ld"), fields: { ...LAST, ...chunked().fields } }],
];

for (const [what, sent] of EXCESSES) {
  const patch = (service: Service, at: string): Promise<Heard> =>
    ask(service.port, "PATCH", at, { ...sent, fields: { ...PARTIAL, "Upload-Offset": "5", ...sent.fields } });

  test(`Upload Append: bytes past the length, ${what}, end the upload for good`, async () => {
    await using service = await Service.start();
    const at = await created(service, "hello", { "Upload-Length": "8" });
    const answer = await patch(service, at);
    assert.deepEqual([answer.status, json(answer)["type"]], [400, INCONSISTENT]);
    // the draft's own example of this problem
    assert.equal(field(answer, "upload-complete"), "?0");
    assert.equal(answer.fields.has("upload-offset"), false);
    for (const method of ["HEAD", "GET"]) {
      const later = await ask(service.port, method, at);
      assert.deepEqual([later.status, field(later, "upload-complete")], [400, "?1"], method);
    }
    assert.equal((await append(service, at, { offset: 5, body: "wor", fields: LAST })).status, 400);
    assert.equal(await service.count(), 0);
    assert.equal((await ask(service.port, "DELETE", at)).status, 204);
  });

  test(`Limits: bytes past max-size, ${what}, end the upload for good`, async () => {
    await using service = await Service.start({ maxSize: 8 });
    const at = await created(service, "hello");
    const answer = await patch(service, at);
    assert.deepEqual([answer.status, field(answer, "upload-complete")], [413, "?1"]);
    assert.match(field(answer, "upload-limit"), /^max-size=8, /);
    assert.equal(answer.fields.has("upload-offset"), false);
    const later = await ask(service.port, "HEAD", at);
    assert.deepEqual([later.status, field(later, "upload-complete")], [413, "?1"]);
  });
}

test("Upload Append: bytes past the length at another offset are a conflict, and end nothing", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello", { "Upload-Length": "8" });
  assert.equal((await append(service, at, { offset: 4, body: "o world" })).status, 409);
  assert.equal((await append(service, at, { offset: 5, body: "wor", fields: LAST })).status, 201);
});

for (const [accept, status] of [
  ["application/json", 201],
  ["*/*", 303],
] as const) {
  for (const protocol of [{}, { "Tus-Resumable": "1.0.0" }]) {
    const speaks = Object.keys(protocol)[0] ?? "the IETF's protocol";
    test(`Offset Retrieval: GET of a complete upload for ${accept}, by ${speaks}, has the state of the upload`, async () => {
      await using service = await Service.start();
      const at = await created(service, "hello");
      await append(service, at, { offset: 5, body: " world", fields: LAST });
      const answer = await ask(service.port, "GET", at, { fields: { Accept: accept, ...protocol } });
      assert.equal(answer.status, status);
      assert.deepEqual(
        ["upload-complete", "upload-offset", "upload-length", "cache-control"].map((name) => answer.fields.get(name)),
        ["?1", "11", "11", "no-store"],
      );
      assert.match(field(answer, "upload-limit"), /^max-size=\d+, max-age=\d+$/);
      assert.match(field(answer, "location"), /^\/uploads\/[0-9a-f]{64}$/);
    });
  }
}

test("Offset, Completeness, Length: parameters of items are ignored, of whatever type", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello", { "Upload-Complete": "?0;v=1.0", "Upload-Length": "11;v=1.0" });
  const fields = { "Upload-Offset": '5;v=1.0;w="0.1"', "Upload-Complete": "?1;x=1.5" };
  const answer = await append(service, at, { offset: 5, body: " world", fields });
  assert.deepEqual([answer.status, json(answer)["size"]], [201, 11]);
});

/** Begins a creation whose content stops after 3 of 10 bytes, and gives the upload's address. */
async function hangingCreation(client: RawClient): Promise<string> {
  const fields = { ...LAST, "Upload-Draft-Interop-Version": "9" };
  await begin(client, "POST", "/uploads", { fields, length: 10, body: "abc" });
  return field(await client.answer(), "location");
}

test("Concurrency: the offset retrieved while a creation hangs is valid, and the hung request may resume", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  const at = await hangingCreation(client);
  const offset = await offsetOf(service, at);
  const done = await append(service, at, { offset, body: "abcdefghij".slice(offset), fields: LAST });
  assert.deepEqual([done.status, json(done)["digest"]], [201, `sha256:${sha256("abcdefghij")}`]);
  const hung = await finalAnswer(client);
  assert.deepEqual([hung.status, json(hung)["code"]], [409, "upload-superseded"]);
  assert.deepEqual(
    ["upload-complete", "location", "upload-offset"].map((name) => hung.fields.get(name)),
    ["?0", at, String(offset)],
  );
});

test("Concurrency: a cancellation while a creation hangs ends it", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  const at = await hangingCreation(client);
  assert.equal((await ask(service.port, "DELETE", at)).status, 204);
  const hung = await finalAnswer(client);
  assert.deepEqual([hung.status, field(hung, "upload-complete")], [409, "?0"]);
  assert.equal(await uploadsIn(service), 0);
});

test("Upload Creation, Upload Append: content that stops coming is 408 with ?0 and the offset to continue from", async () => {
  await using service = await Service.start({ idleTimeout: 200 });
  await using creating = await RawClient.open(service.port);
  const at = await hangingCreation(creating);
  const created = await finalAnswer(creating);
  await using appending = await RawClient.open(service.port);
  const fields = { ...PARTIAL, ...LAST, "Upload-Offset": "3" };
  await begin(appending, "PATCH", at, { fields, length: 7, body: "de" });
  const appended = await finalAnswer(appending);
  for (const [answer, offset] of [
    [created, "3"],
    [appended, "5"],
  ] as const) {
    assert.deepEqual(
      [answer.status, field(answer, "upload-complete"), field(answer, "upload-offset")],
      [408, "?0", offset],
    );
  }
  assert.equal(field(created, "location"), at);
  assert.equal(await offsetOf(service, at), 5);
});

test("Limits: a creation with the whole may be below min-append-size, and one without content too", async () => {
  await using service = await Service.start({ uploads: { minAppendSize: 10 } });
  assert.equal((await ask(service.port, "POST", "/uploads", { fields: LAST, body: "hello" })).status, 201);
  assert.equal((await ask(service.port, "POST", "/uploads", { fields: OPEN })).status, 201);
  const unannounced = await ask(service.port, "POST", "/uploads", {
    ...chunked("hello"),
    fields: { ...OPEN, ...chunked().fields },
  });
  assert.deepEqual([unannounced.status, field(unannounced, "upload-offset")], [201, "5"]);
});

test("Length: the whole in chunks that is shorter than the length leaves the upload open, with its bytes", async () => {
  await using service = await Service.start();
  const answer = await ask(service.port, "POST", "/uploads", {
    ...chunked("hello"),
    fields: { ...LAST, "Upload-Length": "10", ...chunked().fields },
  });
  assert.deepEqual([answer.status, json(answer)["type"], field(answer, "upload-complete")], [400, INCONSISTENT, "?0"]);
  assert.equal(field(answer, "upload-offset"), "5");
  const at = field(answer, "location");
  assert.equal((await append(service, at, { offset: 5, body: "world", fields: LAST })).status, 201);
});

test("Status Code 104: behind 100 Continue, before the content, and while it comes in", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  const fields = { ...LAST, "Upload-Draft-Interop-Version": "9", Expect: "100-continue" };
  await begin(client, "POST", "/uploads", { fields, length: 5 });
  const first = await client.answer();
  const second = await client.answer();
  await client.send("hello");
  const last = await finalAnswer(client);
  assert.deepEqual([first.status, second.status, last.interim[0]?.status, last.status], [104, 100, 104, 201]);
  assert.deepEqual([first.fields.has("location"), last.interim[0]?.fields.has("location")], [true, false]);
});
