/** What the client makes of a refusal: by `Upload-Complete` whether to go on, by the limits in which pieces. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createClient, FixityClientError } from "../../src/client/node.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const RETRY = { minDelay: 1, maxDelay: 5, attempts: 5 };

interface Refusal {
  readonly status: number;
  readonly complete?: string;
  readonly code?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** A `fetch` that answers the first request of a method by a refusal and lets all others through. */
function refusingOnce(refused: string, { status, complete, code = "store-busy", facts = {} }: Refusal) {
  const sent: { method: string; headers: Headers }[] = [];
  let isRefused = false;
  const through: typeof fetch = async (url, init) => {
    const method = init?.method ?? "GET";
    sent.push({ method, headers: new Headers(init?.headers) });
    if (isRefused || method !== refused) return fetch(url, init);
    isRefused = true;
    const headers = { ...(complete !== undefined && { "Upload-Complete": complete }) };
    return Response.json({ code, detail: "No.", ...facts }, { status, headers });
  };
  return { sent, fetch: through, count: (method: string) => sent.filter((one) => one.method === method).length };
}

for (const status of [404, 408, 409, 410, 413, 429, 500, 503]) {
  for (const method of ["POST", "PATCH"]) {
    for (const complete of ["?1", "?1;reason=x"]) {
      test(`${status} with ${complete} to ${method} is final: nothing is resumed or tried again`, async () => {
        await using service = await Service.start();
        const refusing = refusingOnce(method, { status, complete });
        const client = createClient({ endpoint: `${service.url}/uploads`, retry: RETRY, fetch: refusing.fetch });
        await assert.rejects(client.upload(randomBytes(2 * MIB), { declare: false }), (error: unknown) => {
          assert.ok(error instanceof FixityClientError);
          assert.deepEqual([error.status, error.final], [status, true]);
          return true;
        });
        assert.equal(refusing.count(method), 1);
        assert.deepEqual(await Array.fromAsync(service.fixity.store.uploads?.list() ?? []), []);
      });
    }
  }
}

for (const complete of ["?0", undefined]) {
  for (const status of [408, 409, 429, 500, 503]) {
    test(`${status} with ${complete ?? "no Upload-Complete"} is tried again`, async () => {
      await using service = await Service.start();
      const refusal = { status, ...(complete !== undefined && { complete }) };
      const refusing = refusingOnce("PATCH", refusal);
      const bytes = randomBytes(2 * MIB);
      const client = createClient({ endpoint: `${service.url}/uploads`, retry: RETRY, fetch: refusing.fetch });
      assert.equal((await client.upload(bytes)).digest, `sha256:${sha256(bytes)}`);
    });
  }
}

test("only requests with content carry Incremental: ?1", async () => {
  await using service = await Service.start();
  const refusing = refusingOnce("nothing", { status: 500 });
  const client = createClient({ endpoint: `${service.url}/uploads`, fetch: refusing.fetch });
  await client.upload(randomBytes(2 * MIB), { declare: false });
  assert.deepEqual(
    refusing.sent.map(({ method, headers }) => [method, headers.get("incremental")]),
    [
      ["POST", null],
      ["PATCH", "?1"],
    ],
  );
});

for (const code of ["append-too-small", "append-limit-exceeded"]) {
  test(`${code} below the limit leads to larger appends, even without Upload-Limit`, async () => {
    const received: number[] = [];
    await using service = await Service.start({
      onAnswer: ({ method }, _answer, { bytesReceived }) => {
        if (method === "PATCH") received.push(bytesReceived);
      },
    });
    const status = code === "append-too-small" ? 400 : 413;
    const refusing = refusingOnce("PATCH", { status, complete: "?0", code, facts: { limit: 64 * MIB } });
    const client = createClient({ endpoint: `${service.url}/uploads`, retry: RETRY, fetch: refusing.fetch });
    const bytes = randomBytes(20 * MIB);
    assert.equal((await client.upload(bytes, { declare: false })).size, bytes.length);
    // all in one request, where 16 MiB would have been the first
    assert.deepEqual([refusing.count("PATCH"), received], [2, [20 * MIB]]);
  });
}

test("an upload fails if the server refuses every size as too small", async () => {
  await using service = await Service.start();
  let asked = 0;
  const refuse: typeof fetch = async (url, init) => {
    if (init?.method !== "PATCH") return fetch(url, init);
    asked += 1;
    return Response.json({ code: "append-too-small", detail: "No.", limit: 64 * MIB }, { status: 400 });
  };
  const client = createClient({ endpoint: `${service.url}/uploads`, retry: RETRY, fetch: refuse });
  await assert.rejects(client.upload(randomBytes(20 * MIB), { declare: false }), { code: "append-too-small" });
  assert.ok(asked <= RETRY.attempts + 2, `${asked}`);
});

test("an upload of an earlier run that has failed for good starts over", async () => {
  await using service = await Service.start();
  const endpoint = `${service.url}/uploads`;
  const bytes = randomBytes(3 * MIB);
  const open = { "Upload-Complete": "?0" };
  const begun = await fetch(endpoint, { method: "POST", headers: { ...open, "Upload-Length": String(bytes.length) } });
  const at = new URL(begun.headers.get("location") ?? "", endpoint).href;
  // bytes past the length end it
  const fields = { ...open, "Content-Type": "application/partial-upload", "Upload-Offset": "0" };
  assert.equal((await fetch(at, { method: "PATCH", headers: fields, body: randomBytes(4 * MIB) })).status, 400);
  const remembered = JSON.stringify({ at, expires: Date.now() + 60_000 });
  const storage = { get: () => remembered, set: () => undefined, remove: () => undefined };
  const client = createClient({ endpoint, storage, retry: RETRY });
  const { digest } = await client.upload(bytes, { fingerprint: "a" });
  assert.equal(digest, `sha256:${sha256(bytes)}`);
});
