/** The description of the service in OpenAPI: that it is valid, whole, and that answers are compared with it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { ERRORS } from "../../src/core/errors.ts";
import { type ErrorCode, type FixityOptions, createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import type { HandlerOptions } from "../../src/node.ts";
import { openApiDocument, type OpenApiDocument } from "../../src/openapi.ts";
import { RESPONSE_FIELDS } from "../../src/http/openapi/fields.ts";
import { ROUTE_DESCRIPTIONS } from "../../src/http/openapi/route-descriptions.ts";
import { ROUTES } from "../../src/http/route.ts";
import { Description, type SentAnswer } from "../helpers/described-answers.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";

const KEY = "k".repeat(40);
const LINK = `/uploads/${sha256("a")}.txt`;

type Given = Partial<FixityOptions> & HandlerOptions;

function documentOf(options: Given = {}): OpenApiDocument {
  return openApiDocument(createFixity({ store: memoryStore(), ...options }), options);
}

/** The operations of a document by their id. */
function operationsOf({ paths }: OpenApiDocument): ReadonlyMap<string, Record<string, unknown>> {
  const operations = Object.values(paths).flatMap((item) => Object.values(item) as Record<string, unknown>[]);
  return new Map(
    operations
      .filter((part) => typeof part === "object")
      .map((operation) => [String(operation["operationId"]), operation]),
  );
}

function documentedForm({ components }: OpenApiDocument): { readonly required?: unknown } {
  return components["schemas"]?.["Form"] ?? {};
}

const SERVICES: Readonly<Record<string, Given>> = {
  "with defaults": {},
  "with a page for each link": { view: true },
  "with tokens and permits": { tokens: ["a-token-0123456789"], permitKeys: [KEY] },
  "with private reads": { reads: "signed", linkKeys: [KEY], tokens: ["a-token-0123456789"], anonymous: "upload" },
  "of an app": { authorize: () => true, prefix: "/files", publicUrl: "https://a.example/base", fieldName: "upload" },
};

for (const [what, options] of Object.entries(SERVICES)) {
  test(`the document of a service ${what} is valid OpenAPI 3.1`, async () => {
    const { valid, errors } = await new Validator().validate({ ...documentOf(options) });
    assert.ok(valid, JSON.stringify(errors ?? []));
  });
}

test("every route is in the document, and every operation has a name of its own", () => {
  const document = documentOf({ view: true });
  const operations = operationsOf(document);
  for (const { name } of ROUTES) {
    const line = `- ${ROUTE_DESCRIPTIONS[name].summary}`;
    const texts = Array.from(operations.values(), ({ description }) => String(description).split("\n"));
    assert.ok(texts.flat().includes(line), name);
  }
  for (const id of operations.keys()) assert.match(id, /^[a-z]+[A-Z][A-Za-z]*$/);
  assert.equal(operations.size, 12);
});

/** Codes that no client of an uploading service receives. */
const NOT_SENT: ReadonlySet<string> = new Set(["unsupported-runtime", "event-rejected"]);

/** Codes that only refusals of other paths and methods, and other services have. */
const ELSEWHERE: ReadonlySet<string> = new Set(["method-not-allowed", "unknown-host"]);

test("every code of the catalogue is an answer of some operation", () => {
  const text = JSON.stringify(documentOf({ view: true, authorize: () => true }).paths);
  const shared = JSON.stringify(documentOf({ authorize: () => true }).components["responses"]);
  const missing = (Object.keys(ERRORS) as ErrorCode[]).filter(
    (code) => !NOT_SENT.has(code) && !ELSEWHERE.has(code) && !`${text}${shared}`.includes(`"${code}"`),
  );
  assert.deepEqual(missing, []);
});

test("every described field is used", () => {
  const text = JSON.stringify(documentOf({ view: true, cacheTags: true }));
  const unused = Object.keys(RESPONSE_FIELDS).filter((name) => !text.includes(`#/components/headers/${name}`));
  // Of the files of the upload page, and of a refused method.
  assert.deepEqual(unused, ["Content-Encoding"]);
});

test("the document follows the service: its prefix, URL, limits, form field and credentials", () => {
  const document = documentOf({ ...SERVICES["of an app"], maxSize: 1024 });
  assert.deepEqual(document.servers, [{ url: "https://a.example/base" }]);
  assert.deepEqual(Object.keys(document.paths), ["/files", "/files/{file}", "/files/in-progress/{id}", "/files/"]);
  assert.equal((document.info["x-limits"] as { maxSize: number }).maxSize, 1024);
  assert.deepEqual(documentedForm(document).required, ["upload"]);
  assert.equal(document.components["securitySchemes"], undefined);
  const guarded = documentOf(SERVICES["with tokens and permits"]);
  assert.deepEqual(operationsOf(guarded).get("uploadFile")?.["security"], [{ bearer: [] }, { basic: [] }]);
  assert.deepEqual(operationsOf(guarded).get("readFile")?.["security"], [{}, { bearer: [] }, { basic: [] }]);
  assert.deepEqual(documentOf().servers, [{ url: "/" }]);
});

const STORED: SentAnswer = {
  method: "POST",
  target: "/uploads?filename=a.txt",
  status: 200,
  fields: new Map(
    Object.entries({
      "content-type": "application/json",
      location: LINK,
      etag: `"${sha256("a")}"`,
      "repr-digest": "sha-256=:ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=:",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'",
      date: "Thu, 01 Jan 2026 00:00:00 GMT",
    }),
  ),
  content: Buffer.from(
    JSON.stringify({
      url: LINK,
      digest: `sha256:${sha256("a")}`,
      size: 1,
      type: "text/plain",
      name: "a.txt",
      integrity: "sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=",
    }),
  ),
};

/** The answer with another field, or without one. */
function withField(name: string, value: string | null): SentAnswer {
  const fields = new Map(STORED.fields);
  if (value === null) fields.delete(name);
  else fields.set(name, value);
  return { ...STORED, fields };
}

test("an answer that the document does not describe is noticed, whatever is different", () => {
  const description = new Description(documentOf());
  assert.equal(description.difference(STORED), null);
  const whole = STORED.content?.toString() ?? "";
  const different: readonly [SentAnswer, RegExp][] = [
    [{ ...STORED, status: 202 }, /the status is not among 200, 201/],
    [withField("location", null), /there is no location/],
    [withField("x-invented", "1"), /x-invented is not described/],
    [withField("x-content-type-options", "sniff"), /x-content-type-options is sniff/],
    [withField("content-type", "text/csv"), /text\/csv is not among/],
    [withField("content-type", null), /no media type/],
    [{ ...STORED, content: Buffer.from('{"url":"/uploads/x"}') }, /must have required property/],
    [{ ...STORED, content: Buffer.from(whole.replace("}", ',"more":1}')) }, /unevaluated/],
    [{ ...STORED, content: Buffer.from("{") }, /not JSON/],
    [{ ...STORED, method: "PATCH" }, /no such operation/],
    [{ ...STORED, target: "/uploads/a/b" }, /no such operation/],
  ];
  for (const [answer, difference] of different) assert.match(description.difference(answer) ?? "", difference);
});

test("an incomplete document is noticed: without an operation, a status, a media type or a field", () => {
  const remove = (names: readonly string[]): Description => {
    const document = structuredClone(documentOf());
    const parent = names
      .slice(0, -1)
      .reduce<unknown>((part, name) => (part as Record<string, unknown>)[name], document);
    delete (parent as Record<string, unknown>)[names.at(-1) ?? ""];
    return new Description(document);
  };
  const operation = ["paths", "/uploads", "post"];
  const shared = ["components", "responses", "200.uploadFile"];
  const removed: readonly (readonly string[])[] = [
    operation,
    [...operation, "responses", "200"],
    [...shared, "content", "application/json"],
    [...shared, "headers", "Location"],
    ["components", "schemas", "StoredFile", "properties", "name"],
  ];
  for (const names of removed) assert.notEqual(remove(names).difference(STORED), null, names.join(" "));
});

test("a failure with a code that is not described for its request is noticed", () => {
  const description = new Description(documentOf());
  const problem = (code: ErrorCode): SentAnswer => {
    const { status, title } = ERRORS[code];
    const fields = new Map(STORED.fields);
    for (const name of ["location", "etag", "repr-digest"]) fields.delete(name);
    fields.set("content-type", "application/problem+json").set("x-request-id", "1");
    const content = Buffer.from(JSON.stringify({ type: "about:blank", title, status, code, detail: "For the test." }));
    return { ...STORED, status, fields, content };
  };
  assert.equal(description.difference(problem("missing-file")), null);
  assert.match(description.difference(problem("invalid-link")) ?? "", /allowed values/);
});

test("a service whose answers are not described fails its test, also over a raw socket", async () => {
  const service = await Service.start();
  service.fixity.store.stage = () => Promise.reject(new Error("a fault of the test's own"));
  assert.equal((await fetch(`${service.url}/uploads`, { method: "POST", body: "a" })).status, 500);
  await service[Symbol.asyncDispose]();

  const other = await Service.start({ onAnswer: () => {} });
  other.server.prependListener("request", (_request, response) => response.setHeader("X-Invented", "1"));
  await using client = await RawClient.open(other.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\na");
  assert.equal((await client.answer()).status, 201);
  await assert.rejects(other[Symbol.asyncDispose](), /x-invented is not described/);
});
