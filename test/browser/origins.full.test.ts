/**
 * Requests between origins in Firefox and WebKit too: what pages of an allowed origin can do and others cannot, and what the
 * client sends to an origin that the service refers it to. In Chromium: cross-site.test.ts, redirects.test.ts.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { listen } from "../helpers/listen.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { openClientSite } from "./client-site.ts";
import type { PageDownload, PageOptions } from "./client-page.ts";
import { type Engine, ENGINES, needingEngine, startEngine } from "./engines.ts";
import { KEYS, retry, startRedirecting, TEXT } from "./redirecting.ts";

const PAGE = '<!doctype html><meta charset="utf-8"><title>site</title><link rel="icon" href="data:,">';

/** A site on loopback. Its pages under `127.0.0.1` and `localhost` are of two origins. */
async function startSite(): Promise<{ readonly port: string } & AsyncDisposable> {
  const site = await listen((_, response) => void response.setHeader("Content-Type", "text/html").end(PAGE));
  return { port: new URL(site.url).port, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() };
}

/** Uploads by three ways, and gives the links, or the names of the errors. Runs in the browser. */
async function uploadEachWay(endpoint: string): Promise<readonly string[]> {
  const linkIn = (text: string): string => (JSON.parse(text) as { url: string }).url;
  const named = (error: unknown): string => (error instanceof Error ? error.name : String(error));
  const form = new FormData();
  form.append("file", new File(["by form"], "a.txt"));
  const plain = fetch(endpoint, { method: "POST", body: form }).then((response) => response.text());
  const headers = { "Content-Disposition": 'attachment; filename="a.txt"', "Content-Type": "text/plain" };
  const asked = fetch(endpoint, { method: "POST", body: "by fetch", headers }).then((response) => response.text());
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = new XMLHttpRequest();
  // a listener for progress makes the browser ask first
  request.upload.addEventListener("progress", () => null);
  request.addEventListener("load", () => resolve(request.responseText));
  request.addEventListener("error", () => reject(new TypeError("failed")));
  request.open("PUT", `${endpoint}/b.txt`);
  request.send("by XHR");
  return Promise.all([plain, asked, promise].map((text) => text.then(linkIn).catch(named)));
}

/** Runs in the browser, on the page with the client. */
async function download({ options, hex }: { options: PageOptions; hex: string }): Promise<PageDownload> {
  // the page's module may not have run yet
  while (window.download === undefined) await new Promise(requestAnimationFrame);
  return window.download(options, hex);
}

/** Submits a form of text, and gives the address of the page that follows. */
async function submitForm(engine: Engine, action: string): Promise<string> {
  await engine.evaluate((action) => {
    const form = document.createElement("form");
    Object.assign(form, { action, method: "post", enctype: "text/plain" });
    form.append(Object.assign(document.createElement("input"), { name: "a", value: "by form" }));
    document.body.append(form);
    setTimeout(() => form.submit());
  }, action);
  const origin = new URL(action).origin;
  for (;;) {
    // the page may change in the middle of the question
    const href = await engine.evaluate(() => location.href, null).catch(() => "");
    if (href.startsWith(origin)) return href;
  }
}

for (const name of ENGINES) {
  void describe(`origins in ${name}`, needingEngine(name), () => {
    test("pages of an allowed origin upload and read the answers; others cannot", async () => {
      await using folder = await StoreFolder.make();
      await using site = await startSite();
      const env = { UPLOAD_CORS_ORIGINS: `http://localhost:${site.port}`, UPLOAD_DURABILITY: "none" };
      await using server = await ServerProcess.start({ dir: folder.path, env });
      await using engine = await startEngine(name);
      const endpoint = `${server.url}/uploads`;
      await engine.goto(`http://127.0.0.1:${site.port}/`);
      assert.deepEqual(await engine.evaluate(uploadEachWay, endpoint), ["TypeError", "TypeError", "TypeError"]);
      for (const text of ["by form", "by fetch", "by XHR"]) {
        assert.equal((await fetch(`${endpoint}/${sha256(text)}`)).status, 404, text);
      }
      await engine.goto(`http://localhost:${site.port}/`);
      const links = ["by form", "by fetch", "by XHR"].map((text) => `/uploads/${sha256(text)}.txt`);
      assert.deepEqual(await engine.evaluate(uploadEachWay, endpoint), links);
      const stored = `/uploads/${sha256("a=by form\r\n")}.txt`;
      assert.ok((await submitForm(engine, `${endpoint}?filename=a.txt`)).startsWith(server.url));
      assert.equal((await fetch(server.url + stored)).status, 200);
    });

    test("other origins see none of the client's header fields", async () => {
      await using site = await openClientSite();
      await using redirecting = await startRedirecting();
      await using engine = await startEngine(name);
      await engine.goto(`http://127.0.0.1:${site.port}/`);
      for (const headers of [KEYS, { Authorization: KEYS.Authorization }]) {
        const options = { endpoint: redirecting.endpoint, headers, retry };
        const got = await engine.evaluate(download, { options, hex: redirecting.hex });
        assert.deepEqual(got, { text: TEXT, code: null });
      }
      assert.deepEqual(redirecting.here, ["GET authorization x-api-key", "GET authorization", "GET authorization"]);
      assert.deepEqual(redirecting.there, ["GET", "GET"]);
      for (const size of [3, 3 * 1024 ** 2]) {
        const options = { endpoint: redirecting.endpoint, headers: KEYS, retry };
        const failing = await engine.evaluate(
          async ({ options, size }) => {
            const chosen = new DataTransfer();
            chosen.items.add(new File([new Uint8Array(size)], `${size}`));
            const input = document.querySelector<HTMLInputElement>("#file");
            if (input !== null) input.files = chosen.files;
            return window.upload(options).then(() => "", String);
          },
          { options, size },
        );
        assert.match(failing, /redirects uploads to another address/);
      }
      assert.deepEqual(redirecting.there, ["GET", "GET"]);
    });
  });
}
