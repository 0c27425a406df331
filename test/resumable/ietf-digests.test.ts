/** Integrity and security of resumable uploads (draft-ietf-httpbis-resumable-upload). */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { AccessRequest } from "../../src/node.ts";
import { CountingStore } from "../helpers/counting-store.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, begin, field, type Heard, json } from "./client.ts";
import { append, created, LAST, offsetOf, OPEN, PARTIAL } from "./ietf-client.ts";

const digestOf = (algorithm: string, bytes: string): string =>
  createHash(algorithm.replace("-", "")).update(bytes).digest("base64");

for (const algorithm of ["sha-256", "sha-512"]) {
  test(`Representation Digests: ${algorithm} of the whole, declared at creation or at the end, is checked`, async () => {
    await using service = await Service.start();
    const right = { "Repr-Digest": `${algorithm}=:${digestOf(algorithm, "hello world")}:` };
    const wrong = { "Repr-Digest": `${algorithm}=:${digestOf(algorithm, "other")}:` };
    for (const [atCreation, atEnd, status] of [
      [right, wrong, 422],
      [wrong, {}, 422],
      [{}, wrong, 422],
      [right, {}, 201],
      [{}, right, 200],
    ] as const) {
      const at = await created(service, "hello", atCreation);
      const answer = await append(service, at, { offset: 5, body: " world", fields: { ...LAST, ...atEnd } });
      assert.equal(answer.status, status, JSON.stringify([atCreation, atEnd]));
    }
    assert.equal(await service.count(), 1);
  });
}

test("Representation Digests: a wrong digest ends the upload", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello", { "Repr-Digest": `sha-256=:${digestOf("sha-256", "other")}:` });
  const answer = await append(service, at, { offset: 5, fields: LAST });
  assert.deepEqual([answer.status, field(answer, "upload-complete")], [422, "?1"]);
  assert.equal(json(answer)["code"], "digest-mismatch");
  assert.equal((await ask(service.port, "HEAD", at)).status, 422);
});

test("Representation Digests: the response that completes an upload has one", async () => {
  await using service = await Service.start();
  const at = await created(service, "hello");
  const answer = await append(service, at, { offset: 5, fields: LAST });
  assert.equal(field(answer, "repr-digest"), `sha-256=:${digestOf("sha-256", "hello")}:`);
});

for (const where of ["field", "trailer"]) {
  test(`Content Digests: an append with one as a ${where} counts as a whole or not at all`, async () => {
    await using service = await Service.start();
    const at = await created(service, "hello");
    const send = async (digest: string): Promise<Heard> => {
      const value = `sha-256=:${digest}:`;
      if (where === "field")
        return append(service, at, { offset: 5, body: " world", fields: { "Content-Digest": value } });
      const fields = {
        ...PARTIAL,
        ...OPEN,
        "Upload-Offset": "5",
        "Transfer-Encoding": "chunked",
        Trailer: "Content-Digest",
      };
      const body = `6\r\n world\r\n0\r\nContent-Digest: ${value}\r\n\r\n`;
      return ask(service.port, "PATCH", at, { fields, length: null, body });
    };
    const wrong = await send(digestOf("sha-256", "other"));
    assert.equal(wrong.status, 422);
    assert.equal(field(wrong, "upload-complete"), "?0");
    assert.equal(await offsetOf(service, at), 5);
    assert.equal((await send(digestOf("sha-256", " world"))).status, 204);
    assert.equal(
      json(await append(service, at, { offset: 11, fields: LAST }))["digest"],
      `sha256:${sha256("hello world")}`,
    );
  });
}

test("Content Digests: an append that is interrupted before its digest can be checked does not count", async () => {
  const counting = new CountingStore();
  await using service = await Service.start({ store: counting.store });
  const at = await created(service, "hello");
  const client = await RawClient.open(service.port);
  const fields = {
    ...PARTIAL,
    ...OPEN,
    "Upload-Offset": "5",
    "Content-Digest": `sha-256=:${digestOf("sha-256", "x")}:`,
  };
  await begin(client, "PATCH", at, { fields, length: 1000, body: "x".repeat(500) });
  await counting.written(505);
  client.socket.destroy();
  assert.equal(await offsetOf(service, at), 5);
});

const HOSTILE_IDS = [
  "..",
  "%2e%2e",
  "a/b",
  `${"a".repeat(31)}%2F`,
  "A".repeat(32),
  "",
  `${"0".repeat(32)}/`,
  "0".repeat(33),
  "0".repeat(32),
];
for (const id of HOSTILE_IDS) {
  test(`Security Considerations: ${JSON.stringify(id)} is not found, and the response reveals nothing else`, async () => {
    await using service = await Service.start();
    await created(service, "hello");
    for (const method of ["HEAD", "GET", "DELETE", "PATCH"]) {
      const fields = { ...PARTIAL, ...OPEN, "Upload-Offset": "0" };
      const answer = await ask(service.port, method, `/uploads/in-progress/${id}`, {
        fields: method === "PATCH" ? fields : {},
      });
      assert.equal(answer.status, 404, `${method}: ${answer.status}`);
    }
  });
}

test("Security Considerations: every request for an upload needs the token", async () => {
  const authorize = ({ exchange, action }: AccessRequest): void => {
    const isRead = action === "read" || action === "view" || action === "stat";
    if (!isRead && exchange.fields.get("authorization") !== "Bearer right") throw new Error("no");
  };
  await using service = await Service.start({ authorize });
  const right = { Authorization: "Bearer right" };
  const at = await created(service, "hello", right);
  for (const method of ["HEAD", "GET", "DELETE"]) assert.equal((await ask(service.port, method, at)).status, 500);
  assert.equal((await ask(service.port, "HEAD", at, { fields: right })).status, 204);
});
