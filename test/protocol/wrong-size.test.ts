/** A stored blob of the wrong size is never acknowledged; the content that arrives replaces it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { createClient } from "../../src/client.ts";
import { diskStore } from "../../src/disk.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const BYTES = Buffer.from("one two three");
const HEX = sha256(BYTES);
const REPR_DIGEST = `sha-256=:${createHash("sha256").update(BYTES).digest("base64")}:`;
const stream = (): ReadableStream => ReadableStream.from([BYTES.subarray(0, 4), BYTES.subarray(4)]);

type Sender = (service: Service) => Promise<void>;

function sendBy(
  method: string,
  target: string,
  headers: Record<string, string>,
  body: () => NonNullable<RequestInit["body"]>,
): Sender {
  return async ({ url }) => {
    const response = await fetch(url + target, { method, headers, body: body(), duplex: "half" });
    assert.equal(response.status, 201, await response.text());
  };
}

const SENDERS: Readonly<Record<string, Sender>> = {
  "PUT to the link in chunks": sendBy("PUT", `/uploads/${HEX}`, {}, stream),
  "PUT to the link with a length": sendBy("PUT", `/uploads/${HEX}`, {}, () => BYTES),
  "POST with Repr-Digest in chunks": sendBy("POST", "/uploads", { "Repr-Digest": REPR_DIGEST }, stream),
  "resumable PUT in chunks": sendBy("PUT", `/uploads/${HEX}`, { "Upload-Complete": "?1" }, stream),
  "resumable POST with Repr-Digest in chunks": sendBy(
    "POST",
    "/uploads",
    { "Upload-Complete": "?1", "Repr-Digest": REPR_DIGEST },
    stream,
  ),
  "resumable PUT without a length, then an append": async (service) => {
    const created = await fetch(`${service.url}/uploads/${HEX}`, {
      method: "PUT",
      headers: { "Upload-Complete": "?0" },
      body: BYTES.subarray(0, 4),
    });
    assert.equal(created.status, 201);
    const at = created.headers.get("location") ?? assert.fail();
    await sendBy(
      "PATCH",
      at,
      { "Content-Type": "application/partial-upload", "Upload-Offset": "4", "Upload-Complete": "?1" },
      () => BYTES.subarray(4),
    )(service);
  },
  "tus with a deferred length and the digest in its metadata": async ({ url }) => {
    const tus = { "Tus-Resumable": "1.0.0" };
    const created = await fetch(`${url}/uploads`, {
      method: "POST",
      headers: {
        ...tus,
        "Upload-Defer-Length": "1",
        "Upload-Metadata": `sha256 ${Buffer.from(HEX).toString("base64")}`,
      },
    });
    assert.equal(created.status, 201);
    const patched = await fetch(url + (created.headers.get("location") ?? assert.fail()), {
      method: "PATCH",
      headers: {
        ...tus,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "Upload-Length": String(BYTES.length),
      },
      body: BYTES,
    });
    assert.equal(patched.status, 204);
  },
  "the client with a stream and a declared digest": async ({ url }) => {
    const client = createClient({ endpoint: `${url}/uploads` });
    const { existed, sent } = await client.upload(stream(), { declare: `sha256:${HEX}` });
    assert.deepEqual([existed, sent], [false, BYTES.length]);
  },
};

for (const [name, send] of Object.entries(SENDERS)) {
  for (const stored of ["", "one two", "one two three four"]) {
    test(`${name}: a blob of ${stored.length} bytes in its place is replaced`, async () => {
      await using folder = await StoreFolder.make();
      await using store = diskStore({ root: folder.path });
      await store.check();
      await mkdir(folder.fanOut(HEX), { recursive: true });
      await writeFile(folder.blob(HEX), stored);
      await using service = await Service.start({ store });
      await send(service);
      const answer = await fetch(`${service.url}/uploads/${HEX}`);
      assert.equal(await answer.text(), BYTES.toString());
    });
  }
}
