/** Downloads of a disk store by a real nginx and a real Caddy, set up by the files in `examples/`. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { assertSame, BYTES, Ledger, nameOf, QUESTIONS, storeSubject } from "./same-answers.ts";

const CORS = { cors: { origins: ["https://app.example.com"] }, cacheTags: true };

const SERVERS = [
  ["nginx", (places: Readonly<Record<string, string>>) => FrontServer.nginx("nginx-disk.conf", places)],
  ["caddy", (places: Readonly<Record<string, string>>) => FrontServer.caddy("Caddyfile", places)],
] as const;

for (const [program, startFront] of SERVERS) {
  void describe(`${program} sends the files of a disk store`, needing(program), () => {
    const ledger = new Ledger();
    let folder: StoreFolder;
    let streaming: Service;
    let service: Service;
    let front: FrontServer;

    const start = (root: string): Promise<FrontServer> =>
      startFront({ "127.0.0.1:3000": `127.0.0.1:${service.port}`, "/var/lib/fixity": root });

    before(async () => {
      folder = await StoreFolder.make();
      const store = diskStore({ root: folder.path, durability: "none" });
      streaming = await Service.start({ store, ...CORS });
      const { onAnswer } = ledger;
      service = await Service.start({ store, onAnswer, downloads: { mode: "accelerated" }, ...CORS });
      front = await start(folder.path);
      await storeSubject(service.fixity);
    });

    after(async () => {
      await using stack = new AsyncDisposableStack();
      for (const one of [folder, streaming, service, front]) stack.use(one);
    });

    for (const question of QUESTIONS) {
      void test(nameOf(question), async () => assertSame(streaming.url, front.url, question, ledger));
    }

    void test("an empty file is an answer too", async () => {
      const sent = ledger.next();
      const answer = await fetch(`${front.url}/uploads/${sha256("")}.txt`);
      assert.equal(answer.status, 200);
      assert.equal((await answer.arrayBuffer()).byteLength, 0);
      assert.equal(answer.headers.get("etag"), `"${sha256("")}"`);
      assert.ok((await sent).passedOn);
    });

    void test("what is not there is our problem, not a page of another server", async () => {
      const answer = await fetch(`${front.url}/uploads/${sha256("never stored")}.png`);
      assert.equal(answer.status, 404);
      assert.equal(((await answer.json()) as { code: string }).code, "blob-not-found");
      assert.equal(answer.headers.get("cache-control"), "no-store");
    });

    void test("uploads go through, large ones too, and come back", async () => {
      const bytes = Buffer.alloc(20 * 1024 * 1024, "fixity");
      const stored = await fetch(`${front.url}/uploads?filename=a.txt`, { method: "POST", body: bytes });
      assert.equal(stored.status, 201);
      const { url } = (await stored.json()) as { url: string };
      const sent = ledger.next();
      const read = await fetch(front.url + url);
      assert.ok(bytes.equals(Buffer.from(await read.arrayBuffer())));
      assert.ok((await sent).passedOn);
    });

    void test("the internal location cannot be reached, with whatever the client sends", async () => {
      const path = folder.blob(sha256(BYTES)).slice(folder.path.length);
      const before = [
        "/fixity-internal",
        "//fixity-internal",
        "/uploads/../fixity-internal",
        "/uploads/%2e%2e/fixity-internal",
      ];
      for (const target of before.map((before) => before + path)) {
        await using client = await RawClient.open(front.port);
        const fields = `X-Accel-Redirect: ${target}\r\nX-Sendfile-Type: X-Accel-Redirect\r\n`;
        await client.send(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${front.port}\r\n${fields}\r\n`);
        assert.ok([400, 404].includes((await client.answer()).status), target);
      }
    });

    void test("a client that bypasses the web server gets the bytes from fixity", async () => {
      const url = `${service.url}/uploads/${sha256(BYTES)}.png`;
      const answer = await fetch(url);
      assert.ok(BYTES.equals(Buffer.from(await answer.arrayBuffer())));
      const forged = await fetch(url, { headers: { "x-sendfile-type": "X-Accel-Redirect" } });
      // no cache may take that for the file
      assert.ok(forged.headers.get("vary")?.includes("X-Sendfile-Type"));
      assert.equal(forged.headers.get("cache-control"), "no-store");
    });

    void test("a missing file is not cached for a year", async () => {
      await using wrong = await start(`${folder.path}-elsewhere`);
      const answer = await fetch(`${wrong.url}/uploads/${sha256(BYTES)}.png`);
      assert.equal(answer.status, 404);
      assert.equal(answer.headers.get("cache-control"), null);
    });
  });
}
