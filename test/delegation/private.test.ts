/** Private links behind a real nginx that caches below fixity's check, and private links of delegated downloads. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import type { SignOptions } from "../../src/index.ts";
import { s3Store } from "../../src/s3.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { Service } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";

const TEXT = Buffer.from("a private text, of which many have a link");
const HOUR_MS = 3_600_000;
const LINK_KEYS = ["a key for links in these tests, only"];
const READ_TOKEN = "a-token-that-nginx-reads-with";

function maxAgeOf(response: Response): number {
  const [, seconds] = /^private, max-age=(\d+)$/.exec(response.headers.get("cache-control") ?? "") ?? [];
  return Number(seconds);
}

void describe("nginx caches private files below the check of each request", needing("nginx"), () => {
  /** The methods of requests that have reached fixity. */
  let reached: string[] = [];
  let service: Service;
  let front: FrontServer;
  let cache = "";
  let clock = 0;
  let sign: (options?: Partial<SignOptions>) => string;

  before(async () => {
    cache = await mkdtemp(join(tmpdir(), "fixity-cache-"));
    service = await Service.start({
      reads: "signed",
      linkKeys: LINK_KEYS,
      cors: { origins: ["https://one.example.com", "https://two.example.com"] },
      tokens: [`nginx=${READ_TOKEN} may=read`],
      onAnswer: ({ method }) => void reached.push(method),
    });
    const { link } = await service.fixity.put(TEXT, { filename: "a.txt" });
    front = await FrontServer.nginx("nginx-private.conf", {
      "127.0.0.1:3000": `127.0.0.1:${service.port}`,
      "/var/cache/nginx/fixity": cache,
      "READ-TOKEN": READ_TOKEN,
    });
    sign = (options = {}) => front.url + service.fixity.sign(link, { expires: HOUR_MS, ...options });
  });

  after(async () => {
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rm(cache, { recursive: true, force: true }));
    for (const one of [service, front]) stack.use(one);
  });

  void test("many signed links of one file share one entry, and each has its own name and lifetime", async () => {
    const first = await fetch(sign());
    assert.deepEqual([first.status, Buffer.from(await first.arrayBuffer())], [200, TEXT]);
    assert.ok(maxAgeOf(first) > 3500 && maxAgeOf(first) < 4600, first.headers.get("cache-control") ?? "");
    reached = [];
    const second = await fetch(sign({ expires: 2 * HOUR_MS, filename: "other.txt", download: true }));
    assert.deepEqual([second.status, Buffer.from(await second.arrayBuffer())], [200, TEXT]);
    assert.ok(maxAgeOf(second) > 7100, second.headers.get("cache-control") ?? "");
    assert.equal(second.headers.get("content-disposition"), "attachment; filename=other.txt");
    assert.equal(second.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.match(second.headers.get("content-security-policy") ?? "", /sandbox/);
    const range = await fetch(sign(), { headers: { Range: "bytes=2-8" } });
    assert.deepEqual([range.status, await range.text()], [206, "private"]);
    const etag = first.headers.get("etag") ?? "";
    const unchanged = await fetch(sign(), { headers: { "If-None-Match": etag } });
    assert.equal(unchanged.status, 304);
    assert.ok(maxAgeOf(unchanged) > 3500, unchanged.headers.get("cache-control") ?? "");
    assert.deepEqual(reached, ["HEAD", "HEAD", "HEAD"], "no second GET");
  });

  void test("without a valid signature nothing comes from the cache", async () => {
    await (await fetch(sign())).arrayBuffer();
    const [path = ""] = sign().split("?");
    for (const url of [path, `${path}?view`, sign().slice(0, -1), `${sign()}&x=1`, sign().replace(".txt", ".png")]) {
      for (const headers of [{}, { "If-None-Match": "*" }, { Range: "bytes=0-3" }]) {
        const response = await fetch(url, { headers });
        assert.equal(response.status, 404, `${url} ${JSON.stringify(headers)}`);
        assert.equal(((await response.json()) as { code: string }).code, "blob-not-found");
        assert.equal(response.headers.get("cache-control"), "no-store");
      }
      assert.equal((await fetch(url, { method: "HEAD" })).status, 404);
    }
  });

  void test("an expired link is 403, although the file is cached", async (t) => {
    await (await fetch(sign())).arrayBuffer();
    const url = sign({ expires: 1000 });
    clock = Date.now();
    t.mock.method(Date, "now", () => clock + 3000);
    const response = await fetch(url);
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [403, "link-expired"]);
    assert.equal(response.headers.get("cache-control"), "no-store");
  });

  void test("pages about files, HEAD, uploads and removals are fixity's own", async () => {
    const page = await fetch(sign({ view: true }));
    assert.deepEqual([page.status, page.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
    assert.equal((await fetch(sign(), { method: "HEAD" })).status, 200);
    const [path = ""] = sign().split("?");
    assert.equal((await fetch(path, { method: "DELETE" })).status, 401);
    assert.equal((await fetch(`${front.url}/uploads`, { method: "POST", body: "x" })).status, 401);
  });

  void test("pages of each allowed origin may read what a page of another has brought into the cache", async () => {
    for (const origin of ["https://one.example.com", "https://two.example.com", "https://one.example.com"]) {
      const response = await fetch(sign(), { headers: { Origin: origin } });
      await response.arrayBuffer();
      assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [200, origin]);
      assert.equal(response.headers.get("vary"), "Origin");
    }
    const stranger = await fetch(sign(), { headers: { Origin: "https://other.example.com" } });
    assert.equal(stranger.headers.get("access-control-allow-origin"), null);
    const unmatched = await fetch(sign(), { headers: { "If-Match": '"other"' } });
    assert.equal(unmatched.status, 412);
  });

  void test("what is checked is what is sent, however the path is spelled", async () => {
    const { link: other } = await service.fixity.put(Buffer.from("another private text"), { filename: "b.txt" });
    const { pathname, search } = new URL(sign());
    const targets = [
      `${pathname}/../${other.toString()}`,
      `/uploads/${other.toString()}/../${pathname.slice("/uploads/".length)}`,
      `/uploads/./${other.toString()}`,
      `//uploads/${other.toString()}`,
      `/uploads/%2e%2e${pathname}`,
      `/uploads/${other.toString()}`,
    ];
    for (const target of targets) {
      await using client = await RawClient.open(front.port);
      await client.send(`GET ${target}${search} HTTP/1.1\r\nHost: 127.0.0.1:${front.port}\r\n\r\n`);
      assert.ok([400, 404].includes((await client.answer()).status), target);
    }
  });

  void test("the check and the fetch below it cannot be reached from outside", async () => {
    for (const path of ["/fixity-check", "/@private", "/@refused", "/fixity-check?x"]) {
      assert.equal((await fetch(front.url + path)).status, 404, path);
    }
  });
});

void describe("nginx sends the files of a disk store to those with a signed link", needing("nginx"), () => {
  void test("what it sends is private until the link expires", async () => {
    await using folder = await StoreFolder.make();
    const store = diskStore({ root: folder.path, durability: "none" });
    await using service = await Service.start({
      store,
      reads: "signed",
      linkKeys: LINK_KEYS,
      downloads: { mode: "accelerated" },
    });
    await using front = await FrontServer.nginx("nginx-disk.conf", {
      "127.0.0.1:3000": `127.0.0.1:${service.port}`,
      "/var/lib/fixity": folder.path,
    });
    const { link } = await service.fixity.put(TEXT, { filename: "a.txt" });
    const url = front.url + service.fixity.sign(link, { expires: HOUR_MS });
    const whole = await fetch(url);
    assert.deepEqual([whole.status, Buffer.from(await whole.arrayBuffer())], [200, TEXT]);
    assert.ok(maxAgeOf(whole) > 3500, whole.headers.get("cache-control") ?? "");
    assert.equal(whole.headers.get("x-accel-redirect"), null);
    const range = await fetch(url, { headers: { Range: "bytes=2-8" } });
    assert.deepEqual([range.status, await range.text()], [206, "private"]);
    assert.ok(maxAgeOf(range) > 3500);
    const unchanged = await fetch(url, { headers: { "If-None-Match": whole.headers.get("etag") ?? "" } });
    assert.equal(unchanged.status, 304);
    assert.ok(maxAgeOf(unchanged) > 3500);
    for (const headers of [{}, { Range: "bytes=2-8" }, { "If-None-Match": "*" }]) {
      const refused = await fetch(url.replace(/\?.*/, ""), { headers });
      assert.deepEqual([refused.status, refused.headers.get("cache-control")], [404, "no-store"]);
    }
  });
});

void describe("private links of delegated downloads", () => {
  let server: ScriptedServer;
  before(async () => {
    server = await ScriptedServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  void test("a redirect is private, and neither it nor the URL outlives the link", async () => {
    const store = s3Store({ bucket: "private", endpoint: server.endpoint, ...KEYS, log: () => null });
    await using service = await Service.start({
      store,
      reads: "signed",
      linkKeys: LINK_KEYS,
      downloads: { mode: "redirect", lifetime: 600 },
    });
    const { link } = await service.fixity.put(TEXT, { filename: "a.txt" });
    const ask = (url: string): Promise<Response> => fetch(service.url + url, { redirect: "manual" });
    const end = Date.now() + 60_000;
    const response = await ask(service.fixity.sign(link, { expires: new Date(end) }));
    assert.equal(response.status, 307);
    assert.ok(maxAgeOf(response) <= 60, response.headers.get("cache-control") ?? "");
    const { searchParams } = new URL(response.headers.get("location") ?? "");
    const made = (searchParams.get("X-Amz-Date") ?? "").replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:");
    // expiries of links are whole seconds
    assert.ok(Date.parse(made) + Number(searchParams.get("X-Amz-Expires")) * 1000 <= Math.ceil(end / 1000) * 1000);
    assert.match(searchParams.get("response-cache-control") ?? "", /^private, /);
    assert.equal((await ask(`/uploads/${link.toString()}`)).status, 404);
    await store[Symbol.asyncDispose]();
  });
});
