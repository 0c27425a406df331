/** Conditions of requests that change something (RFC 9110, section 13): evaluated before anything is done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Service, sha256 } from "../helpers/service.ts";

const BYTES = "hello, world";
const HEX = sha256(BYTES);
const PAST = "Sat, 01 Jan 2000 00:00:00 GMT";
const FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT";

type Condition = Readonly<Record<string, string>>;

/** Conditions, and whether they hold: for a link with its file, and for one without. */
const CONDITIONS: readonly (readonly [condition: Condition, stored: boolean, absent: boolean])[] = [
  [{ "If-Match": `"${HEX}"` }, true, false],
  [{ "If-Match": `"x", "${HEX}"` }, true, false],
  [{ "If-Match": '"not-this-one"' }, false, false],
  [{ "If-Match": `W/"${HEX}"` }, false, false],
  [{ "If-Match": "*" }, true, false],
  [{ "If-None-Match": "*" }, false, true],
  [{ "If-None-Match": `"${HEX}"` }, false, true],
  [{ "If-None-Match": `W/"${HEX}"` }, false, true],
  [{ "If-None-Match": '"other"' }, true, true],
  [{ "If-Match": `"${HEX}"`, "If-None-Match": "*" }, false, false],
  [{ "If-Unmodified-Since": PAST }, false, true],
  [{ "If-Unmodified-Since": FUTURE }, true, true],
  [{ "If-Unmodified-Since": "yesterday" }, true, true],
  // If-Match takes precedence (13.2.2)
  [{ "If-Match": `"${HEX}"`, "If-Unmodified-Since": PAST }, true, false],
];

const PUTS: readonly (readonly [name: string, fields: Condition, body: () => NonNullable<RequestInit["body"]>])[] = [
  ["PUT with a length", {}, () => BYTES],
  ["PUT in chunks", {}, () => ReadableStream.from([Buffer.from(BYTES)])],
  ["PUT that can be resumed", { "Upload-Complete": "?1" }, () => BYTES],
  ["PUT that begins an upload", { "Upload-Complete": "?0" }, () => "hello"],
];

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { code: string }).code;
}

async function send(
  service: Service,
  method: string,
  headers: Condition,
  body?: NonNullable<RequestInit["body"]>,
): Promise<Response> {
  const init = { method, headers, ...(body !== undefined && { body, duplex: "half" as const }) };
  return fetch(`${service.url}/uploads/${HEX}.txt`, init);
}

for (const [name, fields, body] of PUTS) {
  for (const isStored of [true, false]) {
    test(`${name}, where the file is ${isStored ? "stored" : "absent"}: a condition that does not hold is 412 and changes nothing`, async () => {
      for (const [condition, stored, absent] of CONDITIONS) {
        await using service = await Service.start();
        if (isStored) await service.fixity.put([Buffer.from(BYTES)]);
        const response = await send(service, "PUT", { ...fields, ...condition }, body());
        const what = JSON.stringify(condition);
        if (isStored ? stored : absent) {
          assert.ok(response.ok, `${what}: ${response.status}`);
          await response.body?.cancel();
        } else {
          assert.equal(response.status, 412, what);
          assert.equal(await codeOf(response), "precondition-failed");
          assert.equal(await service.count(), isStored ? 1 : 0, what);
          assert.equal((await Array.fromAsync(service.fixity.store.uploads?.list() ?? [])).length, 0, what);
        }
      }
    });
  }
}

test("DELETE: a condition that does not hold is 412 and removes nothing; an absent file is 404 in every case", async () => {
  for (const [condition, stored] of CONDITIONS) {
    await using service = await Service.start({ authorize: () => undefined });
    assert.equal((await send(service, "DELETE", condition)).status, 404);
    await service.fixity.put([Buffer.from(BYTES)]);
    const response = await send(service, "DELETE", condition);
    assert.equal(response.status, stored ? 204 : 412, JSON.stringify(condition));
    assert.equal(await service.count(), stored ? 0 : 1);
  }
});

test("a malformed entity tag is refused, since ignoring it would do what it was to prevent", async () => {
  await using service = await Service.start({ authorize: () => undefined });
  await service.fixity.put([Buffer.from(BYTES)]);
  for (const name of ["If-Match", "If-None-Match"]) {
    for (const value of ["x", '"x', "", ",", '"a" "b"']) {
      for (const method of ["PUT", "DELETE"]) {
        const body = method === "PUT" ? BYTES : undefined;
        const response = await send(service, method, { [name]: value }, body);
        assert.equal(response.status, 400, `${method} ${name}: ${value}`);
        assert.equal(await codeOf(response), "invalid-field");
      }
    }
  }
  assert.equal(await service.count(), 1);
});

test("without the right to remove, DELETE is refused before its conditions", async () => {
  await using service = await Service.start();
  await service.fixity.put([Buffer.from(BYTES)]);
  assert.equal((await send(service, "DELETE", { "If-Match": '"x"' })).status, 403);
});

for (const tus of [false, true]) {
  test(`an upload in progress has no entity tag: only * names it (${tus ? "tus" : "IETF"})`, async () => {
    await using service = await Service.start();
    const creation = tus ? { "Tus-Resumable": "1.0.0", "Upload-Length": "5" } : { "Upload-Complete": "?0" };
    const begun = await fetch(`${service.url}/uploads`, { method: "POST", headers: { ...creation } });
    const at = service.url + (begun.headers.get("location") ?? assert.fail());
    const headers = tus
      ? { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0" }
      : { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0" };
    for (const condition of [{ "If-Match": '"x"' }, { "If-None-Match": "*" }]) {
      const patched = await fetch(at, { method: "PATCH", headers: { ...headers, ...condition }, body: "he" });
      assert.equal(patched.status, 412);
      const deleted = await fetch(at, {
        method: "DELETE",
        headers: { ...(tus && { "Tus-Resumable": "1.0.0" }), ...condition },
      });
      assert.equal(deleted.status, 412);
    }
    const patched = await fetch(at, { method: "PATCH", headers: { ...headers, "If-Match": "*" }, body: "he" });
    assert.equal(patched.status, 204);
    assert.equal(patched.headers.get("upload-offset"), "2");
  });
}
