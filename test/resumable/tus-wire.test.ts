/** How tus requests are recognized, their numbers parsed and their responses marked, at every path. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Service } from "../helpers/service.ts";
import { ask, field, json } from "./client.ts";

const TUS = { "Tus-Resumable": "1.0.0" };
const OCTETS = { "Content-Type": "application/offset+octet-stream" };

async function created(service: Service): Promise<string> {
  const answer = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Length": "5" } });
  assert.equal(answer.status, 201, answer.body.toString());
  return field(answer, "location");
}

test("Core, X-HTTP-Method-Override: the actual method is ignored, whatever the path", async () => {
  await using service = await Service.start();
  const at = await created(service);
  const asks = (method: string, target: string, override: string, fields: Record<string, string> = TUS) =>
    ask(service.port, method, target, { fields: { ...fields, "X-HTTP-Method-Override": override } });
  const length = { ...TUS, "Upload-Length": "5" };
  for (const method of ["GET", "PUT", "PATCH", "DELETE", "POST", "OPTIONS"]) {
    assert.equal((await asks(method, "/uploads", "POST", length)).status, 201, method);
    assert.equal((await asks(method, at, "HEAD")).status, 200, method);
    for (const target of ["/uploads", at, `/uploads/${"0".repeat(64)}`]) {
      const options = await asks(method, target, "options", {});
      assert.equal(options.status, 204, `${method} ${target}`);
      assert.match(field(options, "allow"), /OPTIONS/);
    }
  }
  assert.equal((await asks("POST", "/uploads", "PATCH")).status, 405);
  // in other requests the field has no meaning
  assert.equal((await asks("POST", at, "DELETE", {})).status, 405);
  assert.equal((await ask(service.port, "HEAD", at, { fields: TUS })).status, 200);
});

test("Core, Tus-Resumable: it is in every response to a request of tus", async () => {
  await using service = await Service.start();
  for (const [method, target, status] of [
    ["GET", "/uploads", 405],
    ["PUT", "/uploads/", 404],
    ["PUT", `/uploads/in-progress/${"0".repeat(32)}`, 405],
    ["HEAD", `/uploads/in-progress/${"0".repeat(32)}`, 404],
    ["GET", `/uploads/${"0".repeat(64)}`, 404],
    ["PATCH", `/uploads/${"0".repeat(64)}`, 405],
    ["GET", "/elsewhere", 404],
    ["OPTIONS", `/uploads/${"0".repeat(64)}`, 204],
    ["OPTIONS", "/uploads", 204],
  ] as const) {
    const answer = await ask(service.port, method, target, { fields: TUS });
    assert.deepEqual([answer.status, field(answer, "tus-resumable")], [status, "1.0.0"], `${method} ${target}`);
  }
  assert.equal((await ask(service.port, "GET", "/uploads")).fields.has("tus-resumable"), false);
});

test("Creation: empty chunked content counts as no content, and needs no type", async () => {
  await using service = await Service.start();
  const fields = { ...TUS, "Transfer-Encoding": "chunked" };
  for (const [length, type] of [
    ["5", {}],
    ["5", { "Content-Type": "text/plain" }],
    ["5", OCTETS],
    ["0", {}],
    ["0", OCTETS],
  ] as const) {
    const sent = { fields: { ...fields, ...type, "Upload-Length": length }, length: null, body: "0\r\n\r\n" };
    const answer = await ask(service.port, "POST", "/uploads", sent);
    assert.deepEqual([answer.status, field(answer, "upload-offset")], [201, "0"], JSON.stringify(type));
    assert.equal(answer.fields.has("content-location"), length === "0");
  }
  const body = "5\r\nhello\r\n0\r\n\r\n";
  const before = (await Array.fromAsync(service.fixity.store.uploads?.list() ?? [])).length;
  const bytes = { fields: { ...fields, "Upload-Length": "5" }, length: null, body };
  assert.equal((await ask(service.port, "POST", "/uploads", bytes)).status, 415);
  assert.equal((await Array.fromAsync(service.fixity.store.uploads?.list() ?? [])).length, before);
});

for (const digits of ["1000000000000000", "9007199254740993", "9".repeat(400)]) {
  test(`Creation, PATCH: ${digits.length} digits are a number: a length that is too large, and an offset that conflicts`, async () => {
    await using service = await Service.start();
    const length = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Length": digits } });
    assert.deepEqual([length.status, json(length)["code"]], [413, "size-limit-exceeded"]);
    const begun = await ask(service.port, "POST", "/uploads", { fields: { ...TUS, "Upload-Defer-Length": "1" } });
    const at = field(begun, "location");
    const told = await ask(service.port, "PATCH", at, {
      fields: { ...TUS, ...OCTETS, "Upload-Offset": "0", "Upload-Length": digits },
      body: "hello",
    });
    assert.equal(told.status, 413);
    const offset = { ...TUS, ...OCTETS, "Upload-Offset": digits };
    const conflict = await ask(service.port, "PATCH", at, { fields: offset, body: "hello" });
    assert.deepEqual([conflict.status, field(conflict, "upload-offset")], [409, "0"]);
    assert.equal(field(await ask(service.port, "HEAD", at, { fields: TUS }), "upload-offset"), "0");
  });
}
