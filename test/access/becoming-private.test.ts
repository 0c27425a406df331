/** Private reads are switched on over a store whose links were public. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../src/memory.ts";
import { Service } from "../helpers/service.ts";

const TEXT = Buffer.from("public at first");

test("links that were public are 404 at once without a signature, whatever the request asks for", async () => {
  const store = memoryStore();
  await using open = await Service.start({ store });
  const { link } = await open.fixity.put(TEXT, { filename: "a.txt" });
  const path = `/uploads/${link.toString()}`;
  const known = await fetch(open.url + path);
  assert.match(known.headers.get("cache-control") ?? "", /^public, /);
  const etag = known.headers.get("etag") ?? "";

  await using closed = await Service.start({
    store,
    reads: "signed",
    linkKeys: ["a key for links in these tests, only"],
  });
  const nowhere = await fetch(`${closed.url}/uploads/${"0".repeat(64)}.txt`);
  const problem = await nowhere.text();
  const requests: readonly (readonly [target: string, init: RequestInit])[] = [
    ["", {}],
    ["", { headers: { "If-None-Match": etag } }],
    ["", { headers: { "If-None-Match": "*" } }],
    ["", { headers: { "If-Modified-Since": new Date().toUTCString() } }],
    ["", { headers: { "If-Match": '"other"' } }],
    ["", { headers: { Range: "bytes=0-3" } }],
    ["", { headers: { Range: "bytes=0-3", "If-Range": etag } }],
    ["", { headers: { Range: "bytes=900-" } }],
    ["?download&filename=b.txt", {}],
    ["?view", {}],
    ["?view", { headers: { "If-None-Match": etag } }],
  ];
  for (const [query, init] of requests) {
    const what = `${query} ${JSON.stringify(init)}`;
    const read = await fetch(closed.url + path + query, init);
    assert.deepEqual([read.status, await read.text()], [404, problem], what);
    assert.deepEqual([read.headers.get("cache-control"), read.headers.get("etag")], ["no-store", null], what);
    const head = await fetch(closed.url + path + query, { ...init, method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("etag"), head.headers.get("repr-digest")], [404, null, null], what);
  }

  const signed = closed.fixity.sign(link, { expires: 60_000 });
  const read = await fetch(closed.url + signed, { headers: { "If-None-Match": etag } });
  assert.equal(read.status, 304);
  assert.match(read.headers.get("cache-control") ?? "", /^private, max-age=\d+$/);
});
