/** Links that need a signature, over HTTP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SignOptions } from "../../src/index.ts";
import { Service } from "../helpers/service.ts";

const PNG = Buffer.from("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489", "hex");
const LINK_KEY = "a key for links that is long enough!!";

interface Place extends AsyncDisposable {
  readonly service: Service;
  /** The path and query of a signed link to the picture. */
  sign(options?: Partial<SignOptions>): string;
}

async function place(linkKeys: readonly string[] = [LINK_KEY]): Promise<Place> {
  const service = await Service.start({ reads: "signed", linkKeys, tokens: ["ops=0123456789abcdef may=read|remove"] });
  const { link } = await service.fixity.put(PNG, { filename: "a.png" });
  return {
    service,
    sign: (options = {}) => service.fixity.sign(link, { expires: 3_600_000, ...options }),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

function maxAgeOf(response: Response): number {
  const [, seconds] = /^private, max-age=(\d+)$/.exec(response.headers.get("cache-control") ?? "") ?? [];
  return Number(seconds);
}

test("a signed link is read, and kept by private caches until it expires", async () => {
  await using at = await place();
  const url = at.service.url + at.sign();
  const whole = await fetch(url);
  assert.deepEqual([whole.status, Buffer.from(await whole.arrayBuffer())], [200, PNG]);
  assert.ok(maxAgeOf(whole) > 3500 && maxAgeOf(whole) <= 4500, whole.headers.get("cache-control") ?? "");
  const etag = whole.headers.get("etag") ?? "";
  const unchanged = await fetch(url, { headers: { "If-None-Match": etag } });
  assert.equal(unchanged.status, 304);
  assert.ok(maxAgeOf(unchanged) > 3500);
  const range = await fetch(url, { headers: { Range: "bytes=0-3" } });
  assert.deepEqual([range.status, Buffer.from(await range.arrayBuffer())], [206, PNG.subarray(0, 4)]);
  assert.ok(maxAgeOf(range) > 3500);
  assert.equal((await fetch(url, { method: "HEAD" })).status, 200);
});

test("the name and the disposition are those that were signed", async () => {
  await using at = await place();
  const response = await fetch(at.service.url + at.sign({ filename: "holiday.png", download: true }));
  assert.equal(response.headers.get("content-disposition"), "attachment; filename=holiday.png");
});

test("anything else than the signed link is 404, with the same answer as for a file that is not stored", async () => {
  await using at = await place();
  const signed = at.sign();
  const [path = "", query = ""] = signed.split("?");
  const nowhere = await (await fetch(at.service.url + path.replace(/[0-9a-f]{8}/, "00000000"))).text();
  const changed = [
    path,
    `${path}?view`,
    `${path}?${query}&view`,
    `${path}?${query}&filename=b.png`,
    `${path}?download&${query}`,
    `${path}?${query}&utm_source=x`,
    `${path}?${query}&${query}`,
    `${path}?${query.split("&").toReversed().join("&")}`,
    `${path.replace(/\.png$/, ".html")}?${query}`,
    `${path.replace(/\.png$/, "")}?${query}`,
    `${path}?${query.replace(/expires=(\d)/, "expires=9")}`,
    `${path}?${query.slice(0, -1)}`,
    `${path}?${query.replace("signature=", "Signature=")}`,
    `${path}?signature=`,
  ];
  for (const target of changed) {
    for (const headers of [{}, { "If-None-Match": "*" }, { Range: "bytes=0-3" }, { "If-Match": '"x"' }]) {
      const response = await fetch(at.service.url + target, { headers });
      assert.equal(response.status, 404, `${target} ${JSON.stringify(headers)}`);
      assert.equal(await response.text(), nowhere, target);
      assert.equal(response.headers.get("cache-control"), "no-store");
    }
  }
});

test("an expired link is 403 link-expired, and a page for browsers", async (t) => {
  await using at = await place();
  const url = at.service.url + at.sign({ expires: 1000 });
  const clock = Date.now();
  t.mock.method(Date, "now", () => clock + 3_000);
  const expired = await fetch(url);
  assert.deepEqual([expired.status, ((await expired.json()) as { code: string }).code], [403, "link-expired"]);
  const page = await fetch(url, { headers: { Accept: "text/html" } });
  assert.deepEqual([page.status, page.headers.get("content-type")], [403, "text/html; charset=utf-8"]);
  assert.match(await page.text(), /This link has expired/);
  const gone = await fetch(url.replace(/\?.*/, ""), { headers: { Accept: "text/html" } });
  assert.deepEqual([gone.status, gone.headers.get("content-type")], [404, "text/html; charset=utf-8"]);
});

test("?view needs its own signature, and signs everything that it loads and offers", async () => {
  await using at = await place();
  const page = await (await fetch(at.service.url + at.sign({ view: true, filename: "holiday.png" }))).text();
  const targets = [...page.matchAll(/(?:src|href)="([0-9a-f]{64}[^"]*)"/g)].map(([, target = ""]) =>
    target.replaceAll("&amp;", "&"),
  );
  assert.equal(targets.length, 3, "the picture, the download and the file itself");
  for (const target of targets) {
    const response = await fetch(`${at.service.url}/uploads/${target}`);
    assert.equal(response.status, 200, target);
    assert.ok(maxAgeOf(response) > 3500, target);
  }
});

test("a principal with the right reads without a signature, and nothing keeps the response", async () => {
  await using at = await place();
  const [path = ""] = at.sign().split("?");
  const headers = { Authorization: "Bearer 0123456789abcdef" };
  const response = await fetch(at.service.url + path, { headers });
  assert.deepEqual([response.status, response.headers.get("cache-control")], [200, "private, no-cache"]);
});

test("links of an old key are valid until it is removed", async () => {
  const newKey = "another key for links that is long enough";
  await using before = await place();
  const signed = before.sign();
  await using during = await place([newKey, LINK_KEY]);
  assert.equal((await fetch(during.service.url + signed)).status, 200);
  assert.notEqual(during.sign(), signed);
  await using after = await place([newKey]);
  assert.equal((await fetch(after.service.url + signed)).status, 404);
});
