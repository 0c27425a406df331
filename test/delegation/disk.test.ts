/** Downloads of a disk store by a real nginx, set up as docs/delegated-download.md says. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { Nginx } from "../helpers/nginx.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { assertSame, BYTES, Ledger, nameOf, QUESTIONS, storeSubject } from "./same-answers.ts";

const CORS = { cors: { origins: ["https://app.example.com"] } };

void describe("nginx sends the files of a disk store", needing("nginx"), () => {
  const ledger = new Ledger();
  let folder: StoreFolder;
  let streaming: Service;
  let service: Service;
  let nginx: Nginx;

  before(async () => {
    folder = await StoreFolder.make();
    const store = diskStore({ root: folder.path, durability: "none" });
    streaming = await Service.start({ store, ...CORS });
    const { onAnswer } = ledger;
    service = await Service.start({ store, onAnswer, downloads: { mode: "accelerated" }, ...CORS });
    nginx = await Nginx.start("nginx-disk.conf", {
      "127.0.0.1:3000": `127.0.0.1:${service.port}`,
      "/var/lib/fixity": folder.path,
    });
    await storeSubject(service.fixity);
  });

  after(async () => {
    for (const one of [nginx, service, streaming, folder]) await one[Symbol.asyncDispose]();
  });

  for (const question of QUESTIONS) {
    void test(nameOf(question), async () => assertSame(streaming.url, nginx.url, question, ledger));
  }

  void test("an empty file is an answer too", async () => {
    const answer = await fetch(`${nginx.url}/uploads/${sha256("")}.txt`);
    assert.equal(answer.status, 200);
    assert.equal((await answer.arrayBuffer()).byteLength, 0);
    assert.equal(answer.headers.get("etag"), `"${sha256("")}"`);
    assert.ok(ledger.passedOn);
  });

  void test("what is not there is our problem, not a page of nginx", async () => {
    const answer = await fetch(`${nginx.url}/uploads/${sha256("never stored")}.png`);
    assert.equal(answer.status, 404);
    assert.equal(((await answer.json()) as { code: string }).code, "blob-not-found");
    assert.equal(answer.headers.get("cache-control"), "no-store");
  });

  void test("uploads go through, large ones too, and come back", async () => {
    const bytes = Buffer.alloc(20 * 1024 * 1024, "fixity");
    const stored = await fetch(`${nginx.url}/uploads?filename=a.txt`, { method: "POST", body: bytes });
    assert.equal(stored.status, 201);
    const { url } = (await stored.json()) as { url: string };
    const read = await fetch(nginx.url + url);
    assert.ok(bytes.equals(Buffer.from(await read.arrayBuffer())));
    assert.ok(ledger.passedOn);
  });

  void test("the internal location cannot be reached, with whatever the client sends", async () => {
    const path = folder.blob(sha256(BYTES)).slice(folder.path.length);
    const targets = [
      "/fixity-internal",
      "//fixity-internal",
      "/uploads/../fixity-internal",
      "/uploads/%2e%2e/fixity-internal",
    ];
    for (const target of targets.map((before) => before + path)) {
      await using client = await RawClient.open(nginx.port);
      const fields = `X-Accel-Redirect: ${target}\r\nX-Sendfile-Type: X-Accel-Redirect\r\n`;
      await client.send(`GET ${target} HTTP/1.1\r\nHost: files.example.com\r\n${fields}\r\n`);
      assert.equal((await client.answer()).status, 404, target);
    }
  });

  void test("who comes by another way than nginx gets the bytes from us", async () => {
    const answer = await fetch(`${service.url}/uploads/${sha256(BYTES)}.png`);
    assert.ok(BYTES.equals(Buffer.from(await answer.arrayBuffer())));
    assert.equal(answer.headers.get("x-accel-redirect"), null);
    const forged = await fetch(`${service.url}/uploads/${sha256(BYTES)}.png`, {
      headers: { "x-sendfile-type": "X-Accel-Redirect" },
    });
    // no cache may take that for the file
    assert.equal(forged.headers.get("vary")?.includes("X-Sendfile-Type"), true);
    assert.equal(forged.headers.get("cache-control"), null);
  });

  void test("where nginx finds no file, nobody keeps that for a year", async () => {
    await using wrong = await Nginx.start("nginx-disk.conf", {
      "127.0.0.1:3000": `127.0.0.1:${service.port}`,
      "/var/lib/fixity": `${folder.path}-elsewhere`,
    });
    const answer = await fetch(`${wrong.url}/uploads/${sha256(BYTES)}.png`);
    assert.equal(answer.status, 404);
    assert.equal(answer.headers.get("cache-control"), null);
  });
});
