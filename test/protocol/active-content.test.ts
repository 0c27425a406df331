/** Uploaded files are never code of the site: types, refusals and Vary, on every route and in every way of embedding. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const BYTES = "self.importScripts;";
const HEX = sha256(BYTES);
const PLAIN = "text/plain; charset=utf-8";
const VARY = "Sec-Fetch-Dest, Sec-Fetch-Site";

/** Types by extension, as they are with `scripts`. */
const ACTIVE = {
  js: "text/javascript; charset=utf-8",
  mjs: "text/javascript; charset=utf-8",
  cjs: "application/node",
  css: "text/css; charset=utf-8",
  xslt: "application/xslt+xml",
  xsl: "application/xml",
  wasm: "application/wasm",
  webmanifest: "application/manifest+json",
};
const OTHERS = {
  txt: PLAIN,
  png: "image/png",
  html: "text/html; charset=utf-8",
  xml: "application/xml",
  zip: "application/zip",
};

interface Host extends AsyncDisposable {
  readonly call: (path: string, init?: RequestInit) => Promise<Response>;
}

/** The ways to serve fixity, with the setting or without. */
const HOSTS: Readonly<Record<string, (scripts: boolean) => Promise<Host>>> = {
  node: (scripts) => service("node", scripts),
  fastify: (scripts) => service("fastify", scripts),
  async fetch(scripts) {
    const handler = fetchHandler(createFixity({ store: memoryStore() }), { view: true, ...(scripts && { scripts }) });
    return {
      call: (path, init) => handler(new Request(`http://files.example.com${path}`, { duplex: "half", ...init })),
      async [Symbol.asyncDispose]() {},
    };
  },
  async standalone(scripts) {
    const folder = await StoreFolder.make();
    const server = await ServerProcess.start({
      dir: folder.path,
      env: { UPLOAD_DURABILITY: "none", ...(scripts && { UPLOAD_SCRIPTS: "yes" }) },
    });
    return {
      call: (path, init) => fetch(server.url + path, init),
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  },
};

async function service(adapter: "node" | "fastify", scripts: boolean): Promise<Host> {
  const started = await Service.start({ adapter, ...(scripts && { scripts }) });
  return {
    call: (path, init) => fetch(started.url + path, init),
    [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
  };
}

const link = (extension: string): string => `/uploads/${HEX}.${extension}`;

for (const [name, start] of Object.entries(HOSTS)) {
  for (const scripts of [false, true]) {
    void describe(`${name}, ${scripts ? "with" : "without"} scripts`, () => {
      test("the type follows from extension and setting, on every route", async () => {
        await using host = await start(scripts);
        await store(host);
        for (const [extension, own] of Object.entries({ ...ACTIVE, ...OTHERS })) {
          const expected = extension in ACTIVE && !scripts ? PLAIN : own;
          for (const method of ["GET", "HEAD"]) {
            for (const query of ["", "?download", "?filename=a.js"]) {
              const { headers } = await host.call(link(extension) + query, { method });
              assert.equal(headers.get("content-type"), expected, `${method} ${extension}${query}`);
              assert.equal(headers.get("x-content-type-options"), "nosniff");
            }
          }
          const part = await host.call(link(extension), { headers: { range: "bytes=0-3" } });
          assert.deepEqual([part.status, part.headers.get("content-type")], [206, expected]);
          const parts = await host.call(link(extension), { headers: { range: "bytes=0-1,5-6" } });
          assert.match(parts.headers.get("content-type") ?? "", /^multipart\/byteranges/);
          assert.ok((await parts.text()).includes(`Content-Type: ${expected}\r\n`), extension);
          const view = await (await host.call(`${link(extension)}?view`)).text();
          assert.ok(view.includes(`<dd>${expected}</dd>`), extension);
          assert.equal(view.includes("integrity="), scripts && /^(m?js|css)$/.test(extension), extension);
        }
      });

      test("receipts state the type that the link is served with", async () => {
        await using host = await start(scripts);
        for (const [extension, own] of Object.entries(ACTIVE)) {
          const expected = scripts ? own : PLAIN;
          const form = new FormData();
          form.append("upload", new File([BYTES], `a.${extension}`, { type: own }));
          const receipts = [
            await host.call("/uploads", { method: "POST", body: form }),
            await host.call(`/uploads?filename=a.${extension}`, { method: "POST", body: BYTES }),
            await host.call(link(extension), { method: "PUT", body: BYTES }),
            await host.call(`/uploads?filename=a.${extension}`, {
              method: "POST",
              body: BYTES,
              headers: { "upload-complete": "?1", "upload-draft-interop-version": "8" },
            }),
          ];
          for (const receipt of receipts) {
            const { url, type } = (await receipt.json()) as { url: string; type: string };
            assert.deepEqual([url, type], [link(extension), expected]);
          }
        }
      });

      test("only active types vary, in 200, 206 and 304, and a 304 protects old copies", async () => {
        await using host = await start(scripts);
        await store(host);
        const requests = [{}, { range: "bytes=0-3" }, { "if-none-match": `"${HEX}"` }];
        for (const extension of [...Object.keys(ACTIVE), ...Object.keys(OTHERS)]) {
          for (const headers of requests) {
            const response = await host.call(link(extension), { headers });
            assert.equal(response.headers.get("vary"), extension in ACTIVE ? VARY : null, extension);
            assert.match(response.headers.get("content-security-policy") ?? "", /; sandbox$/);
            assert.equal(response.headers.get("x-content-type-options"), "nosniff");
            assert.match(response.headers.get("cross-origin-resource-policy") ?? "", /^(?:same|cross)-origin$/);
          }
        }
      });

      test("destinations that make code of a file are refused, whatever the file and the request", async () => {
        await using host = await start(scripts);
        await store(host);
        const sites = ["same-origin", "same-site", "cross-site", "none"];
        const never = ["worker", "sharedworker", "serviceworker", "audioworklet", "paintworklet", "manifest", "xslt"];
        for (const extension of ["js", "css", "png", "json", "txt"]) {
          for (const site of sites) {
            for (const destination of [...never, "script", "style"]) {
              const isRefused = never.includes(destination) || (!scripts && site === "same-origin");
              await assertRefused(
                host,
                extension,
                { "sec-fetch-dest": destination, "sec-fetch-site": site },
                isRefused,
              );
            }
            for (const destination of ["document", "empty", "image", "iframe", "font", "video", "track"]) {
              await assertRefused(host, extension, { "sec-fetch-dest": destination, "sec-fetch-site": site }, false);
            }
          }
          await assertRefused(host, extension, { "service-worker": "script" }, true);
          await assertRefused(host, extension, { "sec-fetch-dest": "Worker;a=1" }, true);
        }
      });
    });
  }
}

async function store(host: Host): Promise<void> {
  assert.equal((await host.call(link("bin"), { method: "PUT", body: BYTES })).status, 201);
}

/** Nothing else in the request changes whether it is refused: not even a copy of the file that the client has. */
async function assertRefused(
  host: Host,
  extension: string,
  headers: Readonly<Record<string, string>>,
  isRefused: boolean,
): Promise<void> {
  const requests = [
    { tail: "", more: {}, allowed: 200 },
    { tail: "?download", more: { range: "bytes=0-3" }, allowed: 206 },
    { tail: "", more: { "if-none-match": `"${HEX}"` }, allowed: 304 },
    { tail: "?view", more: {}, allowed: 200 },
  ];
  for (const { tail, more, allowed } of requests) {
    const response = await host.call(link(extension) + tail, { headers: { ...headers, ...more } });
    assert.equal(response.status, isRefused ? 403 : allowed, JSON.stringify({ extension, tail, ...headers, ...more }));
    const text = await response.text();
    if (!isRefused) continue;
    assert.equal((JSON.parse(text) as { code: string }).code, "forbidden");
    assert.equal(response.headers.get("cache-control"), "no-store");
  }
  const head = await host.call(link(extension), { method: "HEAD", headers });
  assert.equal(head.status, isRefused ? 403 : 200);
}
