/** What a service says that sends clients to the bucket. Whether a real bucket then gives the bytes: test/s3/delegated.ts. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Service, sha256 } from "../helpers/service.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";
import { s3Store } from "../../src/s3.ts";

const BYTES = Buffer.from("the bytes of a file");
const LINK = sha256(BYTES);
const ETAG = `"${LINK}"`;
const LIFETIME = 600;

void describe("readers are sent to the bucket", () => {
  let server: ScriptedServer;
  let service: Service;

  before(async () => {
    server = await ScriptedServer.start();
    const { endpoint } = server;
    const store = s3Store({ bucket: "scripted", endpoint, ...KEYS, sessionToken: "a/token+of=keys", log: () => null });
    const cors = { origins: ["https://app.example.com"] };
    service = await Service.start({ store, cors, downloads: { mode: "redirect", lifetime: LIFETIME } });
    await service.fixity.put(BYTES);
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
    await service.fixity.store[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const ask = (tail = "", headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
    fetch(`${service.url}/uploads/${LINK}${tail}`, { method, headers, redirect: "manual" });

  const target = (answer: Response): URL => {
    assert.equal(answer.status, 307);
    return new URL(answer.headers.get("location") ?? "");
  };

  void test("GET is answered with a URL of the object, signed for a while", async () => {
    const answer = await ask(".png");
    const { origin, pathname, searchParams } = target(answer);
    assert.equal(origin + pathname, `${server.endpoint}/scripted/blobs/${LINK}`);
    assert.deepEqual(
      Object.fromEntries([...searchParams].filter(([name]) => !/Credential|Date|Signature$/.test(name))),
      {
        "response-content-type": "image/png",
        "response-cache-control": `private, max-age=${LIFETIME}, immutable`,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Expires": String(LIFETIME),
        "X-Amz-Security-Token": "a/token+of=keys",
        "X-Amz-SignedHeaders": "host",
      },
    );
    assert.equal(await answer.text(), "");
  });

  void test("the redirect is cached privately, and expires well before the URL", async () => {
    const answer = await ask(".png");
    const { searchParams } = target(answer);
    const maxAge = Number(/^private, max-age=(\d+)$/.exec(answer.headers.get("cache-control") ?? "")?.[1]);
    const made = searchParams.get("X-Amz-Date") ?? "";
    const end = Date.parse(made.replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:")) + LIFETIME * 1000;
    assert.ok(Date.now() + maxAge * 1000 < end - (LIFETIME / 4) * 1000 + 1000, `${maxAge} s from now, of ${made}`);
    assert.ok(maxAge >= LIFETIME / 4 - 1);
    assert.equal(answer.headers.get("etag"), null);
  });

  void test("the page of a link may show what the bucket sends, and is our own", async () => {
    const allowed = async (tail: string): Promise<string> => {
      const answer = await ask(`${tail}?view`);
      assert.equal(answer.status, 200);
      return answer.headers.get("content-security-policy") ?? "";
    };
    assert.match(await allowed(".png"), new RegExp(`; img-src data: 'self' ${server.endpoint};`));
    assert.match(await allowed(".mp4"), new RegExp(`; media-src 'self' ${server.endpoint};`));
    assert.match(await allowed(".html"), new RegExp(`; frame-src 'self' ${server.endpoint};`));
    assert.doesNotMatch(await allowed(".zip"), new RegExp(server.endpoint));
  });

  void test("what a browser would run is a download there, too", async () => {
    for (const tail of ["", ".html", ".svg", ".pdf", ".xml", ".js", ".png?download"]) {
      assert.equal(target(await ask(tail)).searchParams.get("response-content-disposition"), "attachment", tail);
    }
    for (const tail of [".png", ".mp4", ".txt"]) {
      assert.equal(target(await ask(tail)).searchParams.get("response-content-disposition"), null, tail);
    }
    const named = target(await ask(`.html?filename=${encodeURIComponent('Ü"b\r\nX: y.html')}`)).searchParams;
    assert.equal(
      named.get("response-content-disposition"),
      "attachment; filename=\"__bX: y.html\"; filename*=UTF-8''%C3%9C%22bX%3A%20y.html",
    );
  });

  void test("code is plain text there, too, and a redirect for one destination is not used for another", async () => {
    for (const tail of [".js", ".mjs", ".css", ".xslt", ".wasm"]) {
      const answer = await ask(tail);
      assert.equal(target(answer).searchParams.get("response-content-type"), "text/plain; charset=utf-8", tail);
      assert.equal(answer.headers.get("vary"), "Sec-Fetch-Dest, Sec-Fetch-Site");
    }
    assert.equal((await ask(".png")).headers.get("vary"), null);
    for (const tail of [".js", ".txt", ".png"]) {
      assert.equal(
        (await ask(tail, { "sec-fetch-dest": "script", "sec-fetch-site": "same-origin" })).status,
        403,
        tail,
      );
      assert.equal((await ask(tail, { "sec-fetch-dest": "serviceworker" })).status, 403, tail);
    }
  });

  void test("HEAD is answered by us: the URL is signed for GET, and what the link is about we know", async () => {
    const answer = await ask(".html", {}, "HEAD");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("etag"), ETAG);
    assert.equal(answer.headers.get("content-length"), String(BYTES.length));
    assert.equal(answer.headers.get("content-disposition"), "attachment");
  });

  void test("conditions about our tag are ours to judge", async () => {
    assert.equal((await ask("", { "if-none-match": ETAG })).status, 304);
    assert.equal((await ask("", { "if-none-match": '"other"' })).status, 307);
    assert.equal((await ask("", { "if-match": '"other"' })).status, 412);
    // the bucket has another tag and would refuse
    const matched = await ask("", { "if-match": ETAG });
    assert.equal(matched.status, 200);
    assert.ok(BYTES.equals(Buffer.from(await matched.arrayBuffer())));
    const resumed = await ask("", { range: "bytes=4-8", "if-range": ETAG });
    assert.equal(resumed.status, 206);
    assert.equal(await resumed.text(), "bytes");
    // that may be the bucket's own, of the beginning of the download
    assert.equal((await ask("", { range: "bytes=4-8", "if-range": '"0123456789abcdef"' })).status, 307);
  });

  void test("one range is redirected, what a bucket cannot do is answered here, and no redirect leads to a refusal", async () => {
    assert.equal((await ask("", { range: "bytes=4-8" })).status, 307);
    assert.equal((await ask("", { range: "bytes=0-1,4-8" })).status, 206);
    const refused = await ask("", { range: `bytes=${BYTES.length}-` });
    assert.equal(refused.status, 416);
    assert.equal(refused.headers.get("content-range"), `bytes */${BYTES.length}`);
  });

  void test("what is not there is not there, by one question to the bucket", async () => {
    const before = server.operations.length;
    const answer = await fetch(`${service.url}/uploads/${sha256("never stored")}`, { redirect: "manual" });
    assert.equal(answer.status, 404);
    assert.equal(((await answer.json()) as { code: string }).code, "blob-not-found");
    await ask();
    assert.deepEqual(server.operations.slice(before), ["HeadObject", "HeadObject"]);
  });

  void test("pages of other origins may follow", async () => {
    const answer = await ask("", { origin: "https://app.example.com" });
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.equal(answer.status, 307);
  });
});
