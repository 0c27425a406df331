/** The reason phrases of status lines: those of the registry, in the wording of RFC 9110, and never "unknown". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity } from "../../src/index.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { memoryStore } from "../../src/memory.ts";
import { ERRORS } from "../../src/core/errors.ts";
import { reasonOf } from "../../src/http/adapters/node.ts";
import { ask } from "../resumable/client.ts";
import { Service, sha256 } from "../helpers/service.ts";

for (const adapter of ["node", "fastify"] as const) {
  test(`${adapter}: 104, 413, 422 and 460 have the phrases of their registrations`, async () => {
    await using service = await Service.start({ adapter, maxSize: 10 });
    const resumable = { "Upload-Complete": "?1", "Upload-Draft-Interop-Version": "9" };
    const created = await ask(service.port, "POST", "/uploads", { fields: resumable, body: "hello" });
    assert.deepEqual(
      created.interim.map(({ status, reason }) => `${status} ${reason}`),
      created.interim.map(() => "104 Upload Resumption Supported"),
    );
    assert.ok(created.interim.length > 0);
    const tooLarge = await ask(service.port, "POST", "/uploads", { body: "more than ten" });
    assert.equal(`${tooLarge.status} ${tooLarge.reason}`, "413 Content Too Large");
    const mismatch = await ask(service.port, "PUT", `/uploads/${sha256("other")}`, { body: "hello" });
    assert.equal(`${mismatch.status} ${mismatch.reason}`, "422 Unprocessable Content");
    const checksum = await ask(service.port, "POST", "/uploads", {
      fields: {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
      },
      body: "hello",
    });
    assert.equal(`${checksum.status} ${checksum.reason}`, "460 Checksum Mismatch");
  });
}

test("fetch: the phrase is the response's statusText", async () => {
  const handler = fetchHandler(createFixity({ store: memoryStore(), maxSize: 10 }));
  const answer = await handler(new Request("http://a/uploads", { method: "POST", body: "more than ten" }));
  assert.equal(`${answer.status} ${answer.statusText}`, "413 Content Too Large");
});

test("every status of the error catalogue has a phrase", () => {
  for (const [code, { status }] of Object.entries(ERRORS)) assert.notEqual(reasonOf(status), "", code);
});
