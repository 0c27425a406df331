/** Appends to an upload that is complete: what is acknowledged must be what is stored. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, type Heard, json } from "./client.ts";

const STORED = "old bytes!";
const LINK = `/uploads/${sha256(STORED)}`;
const base64 = (bytes: string, algorithm = "sha256"): string => createHash(algorithm).update(bytes).digest("base64");
const digest = (bytes: string, algorithm = "sha256"): string =>
  `${algorithm.replace("sha", "sha-")}=:${base64(bytes, algorithm)}:`;

interface Protocol {
  readonly name: string;
  /** Begins an upload, without bytes. */
  readonly creation: Record<string, string>;
  /** Fields of an append that may be the last. */
  readonly append: Record<string, string>;
  readonly success: number;
}

const IETF: Protocol = {
  name: "IETF",
  creation: { "Upload-Complete": "?0" },
  append: { "Content-Type": "application/partial-upload", "Upload-Complete": "?1" },
  success: 201,
};
const IETF_OPEN: Protocol = {
  ...IETF,
  name: "IETF, Upload-Complete: ?0",
  append: { ...IETF.append, "Upload-Complete": "?0" },
};
const TUS: Protocol = {
  name: "tus",
  creation: { "Tus-Resumable": "1.0.0", "Upload-Length": String(STORED.length) },
  append: { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream" },
  success: 204,
};

async function completed(service: Service, { creation, append }: Protocol): Promise<string> {
  const at = field(await ask(service.port, "POST", "/uploads", { fields: creation }), "location");
  const fields = { ...append, "Upload-Offset": "0", ...(append["Upload-Complete"] && { "Upload-Complete": "?1" }) };
  const done = await ask(service.port, "PATCH", at, { fields, body: STORED });
  assert.ok(done.status === 201 || done.status === 204);
  return at;
}

async function sendChunked(service: Service, at: string, fields: Record<string, string>, body: string): Promise<Heard> {
  await using client = await RawClient.open(service.port);
  await begin(client, "PATCH", at, { fields: { ...fields, "Transfer-Encoding": "chunked" }, length: null });
  const chunks = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
  await client.send(`${chunks}0\r\n\r\n`);
  return await finalAnswer(client, "PATCH");
}

for (const protocol of [IETF, IETF_OPEN, TUS]) {
  for (const isChunked of [false, true]) {
    const how = `${protocol.name}, ${isChunked ? "in chunks" : "with a length"}`;
    const send = (service: Service, at: string, fields: Record<string, string>, body: string): Promise<Heard> =>
      isChunked ? sendChunked(service, at, fields, body) : ask(service.port, "PATCH", at, { fields, body });

    test(`a complete upload refuses every append that brings bytes or begins elsewhere (${how})`, async () => {
      await using service = await Service.start();
      const at = await completed(service, protocol);
      for (const [offset, body] of [
        [0, STORED],
        [0, "new bytes!"],
        [0, "abc"],
        [0, ""],
        [3, " bytes!"],
        [7, "abc"],
        [9, "!"],
        [10, "!"],
        [11, ""],
        [99, "x"],
      ] as const) {
        const answer = await send(service, at, { ...protocol.append, "Upload-Offset": String(offset) }, body);
        const what = `${offset} ${JSON.stringify(body)}`;
        assert.equal(answer.status, 409, what);
        assert.equal(field(answer, "upload-offset"), "10", what);
        assert.equal(json(answer)["code"], "offset-mismatch", what);
        if (protocol !== TUS) assert.equal(field(answer, "upload-complete"), "?0", what);
      }
      assert.equal(await service.count(), 1);
      assert.equal(await (await fetch(service.url + LINK)).text(), STORED);
    });

    test(`an empty append at the end of a complete upload succeeds, if its digests hold (${how})`, async () => {
      await using service = await Service.start();
      const at = await completed(service, protocol);
      const at10 = { ...protocol.append, "Upload-Offset": "10" };
      const outcomes: readonly (readonly [Record<string, string>, number])[] = [
        [{}, protocol.success],
        ...(protocol === TUS
          ? ([
              [{ "Upload-Checksum": `sha1 ${base64("", "sha1")}` }, 204],
              [{ "Upload-Checksum": `sha1 ${base64("x", "sha1")}` }, 460],
              [{ "Upload-Length": "11" }, 400],
            ] as const)
          : ([
              [{ "Content-Digest": digest("") }, 201],
              [{ "Content-Digest": digest("x") }, 422],
              [{ "Content-Digest": digest("x", "sha512") }, 422],
              [{ "Repr-Digest": digest(STORED) }, 201],
              [{ "Repr-Digest": digest("new bytes!") }, 422],
              [{ "Repr-Digest": digest(STORED, "sha512") }, 201],
              [{ "Repr-Digest": digest("new bytes!", "sha512") }, 422],
              [{ "Upload-Length": "11" }, 400],
            ] as const)),
      ];
      for (const [fields, status] of outcomes) {
        assert.equal((await send(service, at, { ...at10, ...fields }, "")).status, status, JSON.stringify(fields));
      }
    });
  }
}
