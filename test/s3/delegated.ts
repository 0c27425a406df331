/** Delegated downloads with a real bucket: redirects to it, and a real nginx that fetches from it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { BlobStore } from "../../src/core/store.ts";
import { assertSame, BYTES, Ledger, nameOf, QUESTIONS, storeSubject } from "../delegation/same-answers.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { digestOf } from "../../src/stores/contract/tools.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const LINK = `/uploads/${sha256(BYTES)}`;
const MIB = 1024 * 1024;

export function delegatedSuite(gateway: Gateway): void {
  redirectSuite(gateway);
  nginxSuite(gateway);
  serverSuite(gateway);
}

function redirectSuite(gateway: Gateway): void {
  void describe("redirects to a real bucket", () => {
    let place: S3Place;
    let store: BlobStore;
    let streaming: Service;
    let service: Service;

    before(async () => {
      place = new S3Place(gateway);
      store = place.store();
      streaming = await Service.start({ store });
      service = await Service.start({ store, downloads: { mode: "redirect" } });
      await storeSubject(service.fixity);
    });

    after(async () => {
      await using stack = new AsyncDisposableStack();
      for (const one of [place, store, streaming, service]) stack.use(one);
    });

    const redirected = async (tail: string, headers: Record<string, string> = {}): Promise<string> => {
      const answer = await fetch(service.url + LINK + tail, { headers, redirect: "manual" });
      assert.equal(answer.status, 307);
      return answer.headers.get("location") ?? "";
    };

    const facts = async (answer: Response) => ({
      status: answer.status,
      range: answer.headers.get("content-range"),
      type: answer.headers.get("content-type"),
      disposition: answer.headers.get("content-disposition"),
      bytes: Buffer.from(await answer.arrayBuffer()),
    });

    const headers = [
      {},
      { range: "bytes=0-0" },
      { range: "bytes=10-" },
      { range: "bytes=-5" },
      { range: "bytes=69990-99999" },
    ];
    const tails = ["", ".png", ".txt", ".svg", ".html", ".png?download"];
    const names = [
      "Übersicht 報告.pdf",
      'quote".html',
      "semi;colon.svg",
      "100%25.png",
      "line\r\nX-Evil: 1.html",
      "👩‍👩‍👧.txt",
    ];
    for (const tail of [...tails, ...names.map((name) => `.html?filename=${encodeURIComponent(name)}`)]) {
      void test(`a client that follows …${tail} gets the bytes, type and name that fixity sends, also for ranges`, async () => {
        for (const fields of headers) {
          const [expected, found] = [
            await fetch(streaming.url + LINK + tail, { headers: fields }),
            await fetch(service.url + LINK + tail, { headers: fields }),
          ];
          assert.equal(found.redirected, true);
          assert.equal(found.headers.get("x-evil"), null);
          assert.deepEqual(await facts(found), await facts(expected));
        }
      });
    }

    void test("an interrupted download resumes with the bucket's entity tag", async () => {
      const first = await fetch(`${service.url}${LINK}.bin`);
      const etag = first.headers.get("etag") ?? "";
      await first.arrayBuffer();
      assert.notEqual(etag, "");
      const rest = await fetch(`${service.url}${LINK}.bin`, { headers: { range: "bytes=60000-", "if-range": etag } });
      assert.equal(rest.status, 206);
      assert.ok(BYTES.subarray(60_000).equals(Buffer.from(await rest.arrayBuffer())));
    });

    void test("browsers may cache the bytes as long as the redirect has the same URL", async () => {
      const answer = await fetch(await redirected(".png"));
      assert.match(answer.headers.get("cache-control") ?? "", /^private, max-age=300, immutable$/);
      await answer.arrayBuffer();
    });

    void test("the holder of the URL cannot change any of it", async () => {
      const url = new URL(await redirected(".html"));
      const changes: readonly (readonly [name: string, value: string | null])[] = [
        ["response-content-type", "image/png"],
        ["response-content-disposition", "inline"],
        ["response-content-disposition", null],
        ["X-Amz-Expires", "604800"],
      ];
      for (const [name, value] of changes) {
        const changed = new URL(url);
        if (value === null) changed.searchParams.delete(name);
        else changed.searchParams.set(name, value);
        assert.equal((await fetch(changed)).status, 403, name);
      }
      const other = new URL(url);
      other.pathname = other.pathname.replace(sha256(BYTES), sha256(""));
      assert.equal((await fetch(other)).status, 403);
      for (const method of ["PUT", "DELETE", "HEAD"]) assert.equal((await fetch(url, { method })).status, 403, method);
    });

    void test("an expired URL is refused", async () => {
      await using brief = await Service.start({ store, downloads: { mode: "redirect", lifetime: 1 } });
      const answer = await fetch(brief.url + LINK, { redirect: "manual" });
      const url = answer.headers.get("location") ?? "";
      let status = 0;
      for (let tries = 0; tries < 40 && status !== 403; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        status = (await fetch(url)).status;
      }
      assert.equal(status, 403);
    });

    void test("redirects lead to the bucket's public endpoint", async () => {
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using inner = place.store({ endpoint: proxy.endpoint, publicEndpoint: gateway.endpoint });
      await using other = await Service.start({ store: inner, downloads: { mode: "redirect" } });
      const answer = await fetch(other.url + LINK);
      assert.equal(new URL(answer.url).origin, new URL(gateway.endpoint).origin);
      assert.ok(BYTES.equals(Buffer.from(await answer.arrayBuffer())));
      // It is verified before, which takes a second one. The marks of damaged files are listed.
      assert.deepEqual(proxy.counts, { ListObjectsV2: 1, HeadObject: 1, GetObject: 1 });
    });

    void test("a redirect to a verified file costs one request to the bucket, and so does a 404", async () => {
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using counted = place.store({ endpoint: proxy.endpoint });
      await using brief = await Service.start({ store: counted, downloads: { mode: "redirect" } });
      await brief.fixity.stat(digestOf(BYTES));
      for (const [digest, status] of [
        [sha256(BYTES), 307],
        [sha256("never stored"), 404],
      ] as const) {
        await proxy.reset();
        assert.equal((await fetch(`${brief.url}/uploads/${digest}`, { redirect: "manual" })).status, status);
        assert.deepEqual(proxy.counts, { HeadObject: 1 });
      }
    });
  });
}

function nginxSuite(gateway: Gateway): void {
  void describe("nginx sends the files of a real bucket", needing("nginx"), () => {
    const cors = { origins: ["https://app.example.com"] };
    const ledger = new Ledger();
    let place: S3Place;
    let store: BlobStore;
    let streaming: Service;
    let service: Service;
    let nginx: FrontServer;

    before(async () => {
      place = new S3Place(gateway);
      store = place.store();
      streaming = await Service.start({ store, cors });
      service = await Service.start({ store, cors, onAnswer: ledger.onAnswer, downloads: { mode: "accelerated" } });
      nginx = await start(gateway.endpoint);
      await storeSubject(service.fixity);
    });

    after(async () => {
      await using stack = new AsyncDisposableStack();
      for (const one of [place, store, streaming, service, nginx]) stack.use(one);
    });

    const start = (bucket: string): Promise<FrontServer> =>
      FrontServer.nginx("nginx-s3.conf", {
        "127.0.0.1:3000": `127.0.0.1:${service.port}`,
        "https://my-bucket.s3.eu-central-1.amazonaws.com": bucket,
      });

    for (const question of QUESTIONS) {
      void test(nameOf(question), async () => assertSame(streaming.url, nginx.url, question, ledger));
    }

    void test("a large file is sent unchanged", async () => {
      const bytes = Buffer.alloc(32 * MIB, "fixity");
      const { url } = await service.fixity.put(bytes);
      const sent = ledger.next();
      const read = await fetch(nginx.url + url);
      assert.ok(bytes.equals(Buffer.from(await read.arrayBuffer())));
      assert.ok((await sent).passedOn);
    });

    void test("the response reveals nothing about the bucket but the bytes", async () => {
      const { headers } = await fetch(`${nginx.url}${LINK}.png`);
      const revealing = [...headers.keys()].filter((name) => /^x-(amz|rgw)/.test(name));
      assert.deepEqual(revealing, []);
    });

    void test("a refusal of the bucket is 502, and is not cached", async () => {
      // its URL is signed for another origin than the one that nginx sends it to
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using wrong = await start(proxy.endpoint);
      const answer = await fetch(`${wrong.url}${LINK}.png`);
      const text = await answer.text();
      assert.equal(answer.status, 502, text);
      assert.equal(answer.headers.get("cache-control"), null);
      assert.doesNotMatch(text, /Signature|AccessKey|<Error>/);
    });
  });
}

function serverSuite(gateway: Gateway): void {
  void describe("the server delegates downloads", () => {
    const settings = {
      ...bucketSettings(gateway),
      UPLOAD_LOG_LEVEL: "debug",
    };

    for (const [mode, field, headers] of [
      ["redirect", "location", {}],
      ["accelerated", "x-accel-redirect", { "x-sendfile-type": "X-Accel-Redirect" }],
    ] as const) {
      void test(`${mode}: the settings suffice, and the log contains no URL that grants access`, async () => {
        await using place = new S3Place(gateway);
        const env = {
          ...settings,
          UPLOAD_BUCKET_PREFIX: place.prefix,
          UPLOAD_DOWNLOADS: mode,
          UPLOAD_REDIRECT_LIFETIME: "1h",
        };
        await using server = await ServerProcess.start({ dir: "/nowhere", env });
        assert.equal((await fetch(`${server.url}/uploads`, { method: "POST", body: BYTES })).status, 201);
        const answer = await fetch(server.url + LINK, { headers, redirect: "manual" });
        const signed = answer.headers.get(field) ?? "";
        assert.match(signed, mode === "redirect" ? /X-Amz-Expires=3600&/ : /^\/fixity-internal\/.*X-Amz-Signature=/);
        await server.stop();
        assert.match(server.output, new RegExp(`"path":"${LINK}","status":${answer.status}`));
        assert.doesNotMatch(server.output, /X-Amz|Signature/);
      });
    }
  });
}
