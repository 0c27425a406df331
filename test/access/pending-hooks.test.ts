/** `onStored` over HTTP: what clients of each protocol see while the hook has not succeeded. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FixityError } from "../../src/index.ts";
import type { Receipt, StoredDetails } from "../../src/index.ts";
import { Service, sha256 } from "../helpers/service.ts";

const BYTES = "stored at last";
const LINK = `/uploads/${sha256(BYTES)}.txt`;

/** An app that refuses uploads for as long as it wants to. */
class App {
  readonly calls: { readonly receipt: Receipt; readonly details: StoredDetails }[] = [];
  refusal: Error | null = new FixityError("forbidden", "Not in this album.");

  async onStored(receipt: Receipt, details: StoredDetails): Promise<void> {
    this.calls.push({ receipt, details });
    if (this.refusal !== null) throw this.refusal;
  }

  async serve(): Promise<Service> {
    return Service.start({
      context: ({ headers }) => headers["x-user"] ?? null,
      principal: (user) => (typeof user === "string" ? { name: user } : null),
      authorize: ({ action }) => (action === "create" ? { keep: { album: 7 } } : true),
      onStored: (receipt, details) => this.onStored(receipt, details),
      log: () => {},
    });
  }
}

const ALICE = { "X-User": "alice" };
const PRINCIPAL = { kind: "app", name: "alice" };

describe("an upload whose hook fails", () => {
  const plain: readonly (readonly [string, (service: Service) => Promise<Response>])[] = [
    ["a form", (service) => fetch(`${service.url}/uploads`, { method: "POST", body: form(), headers: ALICE })],
    [
      "a PUT to a name",
      (service) => fetch(`${service.url}/uploads/a.txt`, { method: "PUT", body: BYTES, headers: ALICE }),
    ],
    ["a PUT to a link", (service) => fetch(service.url + LINK, { method: "PUT", body: BYTES, headers: ALICE })],
  ];
  for (const [name, send] of plain) {
    test(`${name}: the failure is the answer, the file stays, and a repetition calls again`, async () => {
      const app = new App();
      await using service = await app.serve();
      const refused = await send(service);
      assert.deepEqual(
        [refused.status, ((await refused.json()) as { detail: string }).detail],
        [403, "Not in this album."],
      );
      assert.equal(await service.count(), 1);
      app.refusal = null;
      const stored = await send(service);
      assert.equal(stored.status, 200);
      assert.equal(app.calls.length, 2);
      for (const { receipt, details } of app.calls) {
        assert.deepEqual(
          [receipt.digest.hex, details.principal, details.context, details.kept],
          [sha256(BYTES), PRINCIPAL, "alice", { album: 7 }],
        );
        assert.notEqual(details.key, "");
      }
      assert.deepEqual(
        app.calls.map(({ receipt }) => receipt.existed),
        [false, true],
      );
    });
  }

  test("an error of the app itself is a 500 that says nothing about it", async () => {
    const app = new App();
    app.refusal = new Error("the database is at 10.0.0.7");
    await using service = await app.serve();
    const response = await fetch(`${service.url}/uploads/a.txt`, { method: "PUT", body: BYTES, headers: ALICE });
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /database/);
  });

  test("an upload of the draft stays at its full offset, and an empty append calls the hook again", async () => {
    const app = new App();
    await using service = await app.serve();
    const url = service.url + (await begin(service, { "Upload-Complete": "?0" }));
    const partial = { ...ALICE, "Upload-Complete": "?1", "Content-Type": "application/partial-upload" };
    const append = (offset: number, body: string): Promise<Response> =>
      fetch(url, { method: "PATCH", body, headers: { ...partial, "Upload-Offset": String(offset) } });
    const refused = await append(3, BYTES.slice(3));
    assert.deepEqual([refused.status, refused.headers.get("upload-complete")], [403, "?0"]);
    const state = await fetch(url, { method: "HEAD", headers: ALICE });
    assert.deepEqual(
      [state.status, state.headers.get("upload-offset"), state.headers.get("upload-complete")],
      [204, String(BYTES.length), "?0"],
    );
    assert.equal(app.calls.length, 1, "HEAD does not call it");
    assert.equal((await append(3, BYTES.slice(3))).status, 409);
    assert.equal((await append(BYTES.length, "")).status, 403);
    app.refusal = null;
    const stored = await append(BYTES.length, "");
    assert.equal(stored.status, 201);
    assert.equal(((await stored.json()) as { digest: string }).digest, `sha256:${sha256(BYTES)}`);
    assert.equal(app.calls.length, 3);
    assert.equal((await append(BYTES.length, "")).status, 201, "a replay");
    assert.equal((await fetch(url, { method: "HEAD", headers: ALICE })).headers.get("upload-complete"), "?1");
    assert.equal(app.calls.length, 3, "after success it is not called");
    assert.deepEqual(new Set(app.calls.map(({ details }) => details.key)), new Set([url.slice(-32)]));
    for (const { details } of app.calls) assert.deepEqual([details.principal, details.kept], [PRINCIPAL, { album: 7 }]);
  });

  test("a client of tus gets the failure from HEAD, which calls the hook again", async () => {
    const app = new App();
    await using service = await app.serve();
    const tus = { ...ALICE, "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream" };
    const url = service.url + (await begin(service, { ...tus, "Upload-Length": String(BYTES.length) }));
    const patch = await fetch(url, {
      method: "PATCH",
      body: BYTES.slice(3),
      headers: { ...tus, "Upload-Offset": "3" },
    });
    assert.equal(patch.status, 403);
    const head = (): Promise<Response> => fetch(url, { method: "HEAD", headers: tus });
    assert.equal((await head()).status, 403);
    assert.equal(app.calls.length, 2);
    app.refusal = null;
    const state = await head();
    assert.deepEqual([state.status, state.headers.get("upload-offset")], [200, String(BYTES.length)]);
    assert.equal((await head()).status, 200);
    assert.equal(app.calls.length, 3);
  });

  test("the creation of an upload that is complete at once calls the hook, too", async () => {
    const app = new App();
    app.refusal = null;
    await using service = await app.serve();
    await service.fixity.put(Buffer.from(BYTES));
    app.calls.length = 0;
    const digest = Buffer.from(sha256(BYTES), "hex").toString("base64");
    const response = await fetch(`${service.url}/uploads`, {
      method: "POST",
      headers: {
        ...ALICE,
        "Upload-Complete": "?0",
        "Upload-Length": String(BYTES.length),
        "Repr-Digest": `sha-256=:${digest}:`,
      },
    });
    assert.equal(response.headers.get("upload-complete"), "?1");
    assert.equal(app.calls.length, 1);
    assert.deepEqual([app.calls[0]?.receipt.existed, app.calls[0]?.details.context], [true, "alice"]);
  });
});

function form(): FormData {
  const body = new FormData();
  body.set("file", new File([BYTES], "a.txt"));
  return body;
}

/** Creates an upload with the first three bytes. Returns its path. */
async function begin(service: Service, fields: Record<string, string>): Promise<string> {
  const response = await fetch(`${service.url}/uploads`, {
    method: "POST",
    body: BYTES.slice(0, 3),
    headers: { ...ALICE, ...fields },
  });
  assert.equal(response.status, 201);
  return response.headers.get("location") ?? "";
}
