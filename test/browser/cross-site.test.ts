/** What pages of other sites can make Chromium do to a server, and what its own page and allowed ones must be able to do. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { file, PNG } from "./upload-page.ts";

const TOKEN = "a-token-0123456789";
const SECRET = "a file of the developer";
const TIMEOUT = { timeout: 120_000, ...needingChromium() };

/** Every name in `.example` is this machine, as after DNS rebinding. */
const REBOUND = "--host-resolver-rules=MAP *.example 127.0.0.1";

type Mode = "local" | "open" | "guarded";
const ENV = { local: {}, open: { UPLOAD_OPEN: "yes" }, guarded: { UPLOAD_TOKENS: TOKEN } } as const;

let folder = "";
let site: Server;
let browser: Awaited<ReturnType<typeof openBrowser>>;
const servers = {} as Record<Mode, ServerProcess>;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  for (const mode of ["local", "open", "guarded"] as const) servers[mode] = await start(mode, ENV[mode]);
  site = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? "/", "http://site");
    const report = searchParams.get("report");
    const to = searchParams.get("to");
    if (to !== null) {
      response.writeHead(307, { Location: to }).end();
      return;
    }
    if (report !== null) response.setHeader("Content-Security-Policy", `img-src 'none'; report-uri ${report}`);
    response.setHeader("Content-Type", "text/html").end(`<!doctype html><title>site</title><img src="/x.png">`);
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  browser = await openBrowser({ args: [REBOUND] });
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  site.closeAllConnections();
  site.close();
  for (const server of Object.values(servers)) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A server that has stored {@link SECRET} and a picture. */
async function start(name: string, env: Readonly<Record<string, string>>): Promise<ServerProcess> {
  const server = await ServerProcess.start({ dir: join(folder, name), env });
  for (const [body, type] of [[SECRET, "text/plain"] as const, [PNG, "image/png"] as const]) {
    const headers = { authorization: `Bearer ${TOKEN}`, "content-type": type };
    await fetch(`${server.url}/uploads`, { method: "POST", body: new Uint8Array(Buffer.from(body)), headers });
  }
  return server;
}

/** How many files a server has stored, and how often it has refused something with this code. */
async function stored(name: string): Promise<number> {
  const entries = await readdir(join(folder, name, "blobs"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

function refusals(server: ServerProcess, code: string): number {
  return server.output.split(`"code":"${code}"`).length - 1;
}

/** Opens the other site under one of its names. */
async function visit(host: string, path = "/"): Promise<Page> {
  const page = await context().newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(siteUrl(host, path));
  return page;
}

function siteUrl(host: string, path = "/"): string {
  return `http://${host}:${(site.address() as AddressInfo).port}${path}`;
}

function context(): BrowserContext {
  return browser.context;
}

/** What a page can do to a URL without being asked by a preflight. */
const ATTACKS: Readonly<Record<string, (url: string) => unknown>> = {
  "a form with a file": (url) => {
    const form = Object.assign(document.createElement("form"), {
      action: url,
      method: "post",
      enctype: "multipart/form-data",
    });
    const input = Object.assign(document.createElement("input"), { type: "file", name: "upload" });
    const files = new DataTransfer();
    files.items.add(new File(["by a form"], "evil.html", { type: "text/html" }));
    input.files = files.files;
    form.append(input);
    document.body.append(form);
    form.submit();
  },
  "a form of text": (url) => {
    const form = Object.assign(document.createElement("form"), { action: url, method: "post", enctype: "text/plain" });
    form.append(Object.assign(document.createElement("input"), { name: "a", value: "by text" }));
    document.body.append(form);
    form.submit();
  },
  "a form in a sandboxed frame, whose origin is opaque": (url) => {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-forms allow-scripts");
    frame.srcdoc = `<form action="${url}" method="post" enctype="text/plain"><input name="a" value="framed"></form>
      <script>document.forms[0].submit()</script>`;
    document.body.append(frame);
  },
  "a form of a page that sends no referrer": (url) => {
    document.head.append(Object.assign(document.createElement("meta"), { name: "referrer", content: "no-referrer" }));
    const form = Object.assign(document.createElement("form"), { action: url, method: "post", enctype: "text/plain" });
    document.body.append(form);
    form.submit();
  },
  "a form to its own site, which redirects it": (url) => {
    const form = Object.assign(document.createElement("form"), { method: "post", enctype: "text/plain" });
    form.action = `/?to=${encodeURIComponent(url)}`;
    document.body.append(form);
    form.submit();
  },
  "fetch of text without CORS": (url) =>
    fetch(url, { method: "POST", mode: "no-cors", body: "by fetch", credentials: "include" }).catch(() => null),
  "fetch of a form without CORS": (url) => {
    const form = new FormData();
    form.append("upload", new File(["by fetch of a form"], "evil.txt"));
    return fetch(url, { method: "POST", mode: "no-cors", body: form }).catch(() => null);
  },
  "fetch that outlives its page": (url) =>
    void fetch(url, { method: "POST", mode: "no-cors", body: "kept alive", keepalive: true }).catch(() => null),
  "a beacon": (url) => navigator.sendBeacon(url, "by beacon"),
  "a beacon with a form": (url) => {
    const form = new FormData();
    form.append("upload", new File(["by beacon"], "evil.txt"));
    return navigator.sendBeacon(url, form);
  },
  "XMLHttpRequest with a form": (url) => {
    const form = new FormData();
    form.append("upload", new File(["by XHR"], "evil.txt"));
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.send(form);
  },
  "the ping of a link": (url) => {
    const link = Object.assign(document.createElement("a"), { href: "#here", ping: url });
    document.body.append(link);
    link.click();
  },
};

const SITES = someOf(
  ["evil.example", "localhost"].flatMap((host) =>
    (["local", "open", "guarded"] as const).map((mode) => ({ host, mode })),
  ),
  2,
);

for (const { host, mode } of SITES) {
  test(`a page at ${host} can store nothing in ${mode} mode`, TIMEOUT, async (t) => {
    const server = servers[mode];
    const code = mode === "guarded" ? "unauthorized" : "cross-site-request";
    const blobs = await stored(mode);
    for (const [what, attack] of someOf(Object.entries(ATTACKS), 5)) {
      await t.test(what, async () => {
        const page = await visit(host);
        const refused = refusals(server, code);
        await page.evaluate(attack, `${server.url}/uploads?filename=evil.html`);
        // the browser has let it out, so it was the server that refused it
        await until(async () => refusals(server, code) > refused);
        assert.equal(await stored(mode), blobs);
        await page.close();
      });
    }
  });
}

test("the report of a violated policy stores nothing", TIMEOUT, async () => {
  const refused = refusals(servers.local, "cross-site-request");
  const blobs = await stored("local");
  const page = await visit("evil.example", `/?report=${encodeURIComponent(`${servers.local.url}/uploads`)}`);
  await until(async () => refusals(servers.local, "cross-site-request") > refused);
  assert.equal(await stored("local"), blobs);
  await page.close();
});

test("a user whose browser was made to send a form sees a page that explains it", TIMEOUT, async () => {
  const page = await visit("evil.example");
  await page.evaluate(ATTACKS["a form with a file"] ?? assert.fail(), `${servers.local.url}/uploads`);
  await page.getByRole("heading", { name: "Cross-site request refused" }).waitFor();
  await page.getByText("UPLOAD_CORS_ORIGINS").waitFor();
  await page.close();
});

/**
 * Opens a page at `rebind.example`, lets a server take its place under the same name and port, and gives the statuses of
 * everything that the page then asks of it: to the browser both are one origin.
 */
async function rebound(name: string, env: Readonly<Record<string, string>>): Promise<Record<string, number>> {
  const attacker = createServer((_request, response) => {
    response.writeHead(200, { "Content-Type": "text/html", Connection: "close" }).end("<!doctype html><p>attack</p>");
  }).listen(0, "127.0.0.1");
  await once(attacker, "listening");
  const { port } = attacker.address() as AddressInfo;
  const page = await context().newPage();
  await page.goto(`http://rebind.example:${port}/`);
  attacker.close();
  attacker.closeAllConnections();
  await once(attacker, "close");
  await using server = await start(name, { ...env, PORT: String(port) });
  const blobs = await stored(name);
  const statuses = await page.evaluate(
    async (link) => {
      const status = async (path: string, init: RequestInit = {}): Promise<number> => (await fetch(path, init)).status;
      return {
        page: await status("/"),
        health: await status("/healthz"),
        upload: await status("/uploads", { method: "POST", body: "rebound" }),
        resumable: await status("/uploads", { method: "POST", headers: { "Upload-Complete": "?0" }, body: "rebound" }),
        put: await status(link, { method: "PUT", body: "a file of the developer" }),
        head: await status(link, { method: "HEAD" }),
        read: await status(link),
        view: await status(`${link}?view`),
        delete: await status(link, { method: "DELETE" }),
      };
    },
    `/uploads/${sha256(SECRET)}.txt`,
  );
  assert.equal(await stored(name), blobs);
  await page.close();
  assert.equal(server.port, port);
  return statuses;
}

test("a name that was rebound to this machine reaches nothing in local mode", TIMEOUT, async () => {
  for (const [what, status] of Object.entries(await rebound("rebound", {}))) assert.equal(status, 421, what);
});

test("with tokens, a name that was rebound can change nothing", TIMEOUT, async () => {
  const { upload, resumable, put, delete: removal, read } = await rebound("rebound-guarded", ENV.guarded);
  assert.deepEqual([upload, resumable, put, removal], [401, 401, 401, 401]);
  // reading is open to everybody who has a link
  assert.equal(read, 200);
});

test("a rebound name that is opened shows what to set", TIMEOUT, async () => {
  const page = await context().newPage();
  const answer = await page.goto(`http://rebind.example:${servers.local.port}/`);
  assert.equal(answer?.status(), 421);
  await page.getByText("UPLOAD_HOSTS=rebind.example").waitFor();
  await page.close();
});

const PAGES = [
  ["local", "127.0.0.1"],
  ["local", "localhost"],
  ["local", "app.localhost"],
  ["open", "lan.example"],
] as const;

for (const [mode, host] of isFullRun ? PAGES : PAGES.slice(2)) {
  for (const javaScriptEnabled of someOf([true, false], 1)) {
    test(
      `the page at ${host} uploads in ${mode} mode, ${javaScriptEnabled ? "with" : "without"} JavaScript`,
      TIMEOUT,
      async () => {
        await using own = await openBrowser({ args: [REBOUND], javaScriptEnabled });
        const page = await own.context.newPage();
        page.setDefaultTimeout(30_000);
        const content = `from the page at ${host} ${javaScriptEnabled}`;
        const sent = page.waitForRequest(
          (request) => request.method() === "POST" && request.url().includes("/uploads"),
        );
        await page.goto(`http://${host}:${servers[mode].port}/`);
        if (javaScriptEnabled) {
          await page.locator("html.scripted").waitFor();
          await page.locator("input[type=file]").first().setInputFiles(file("a.txt", content));
          await page
            .locator(`a[href*="${sha256(content)}"]`)
            .first()
            .waitFor();
        } else {
          await page.setInputFiles("#file", file("a.txt", content));
          await page.getByRole("button", { name: "Upload" }).click();
          await page.waitForURL(`**/uploads/${sha256(content)}.txt`);
        }
        const headers = await (await sent).allHeaders();
        // on plain HTTP to another machine's name, only Origin says that the page is the server's own
        assert.equal(headers["sec-fetch-site"], host === "lan.example" ? undefined : "same-origin");
        assert.equal(headers["origin"], `http://${host}:${servers[mode].port}`);
      },
    );
  }
}

test(
  "pages of an allowed origin upload by fetch and by form, and read the answers; others do not",
  TIMEOUT,
  async () => {
    const { port } = site.address() as AddressInfo;
    const origins = `http://app.example:${port},http://localhost:${port}`;
    await using server = await start("cors", { UPLOAD_CORS_ORIGINS: origins });
    const upload = async (url: string): Promise<number | string> => {
      const options = { method: "POST", headers: { "Content-Disposition": 'attachment; filename="a.txt"' } };
      return fetch(url, { ...options, body: "from an app" }).then(({ status }) => status, String);
    };
    for (const host of ["app.example", "localhost"]) {
      const page = await visit(host);
      const status = await page.evaluate(upload, `${server.url}/uploads`);
      assert.ok(status === 201 || status === 200, `${host}: ${status}`);
      const blobs = await stored("cors");
      await page.evaluate(ATTACKS["a form of text"] ?? assert.fail(), `${server.url}/uploads?filename=${host}.txt`);
      await page.waitForURL((url) => url.href.startsWith(`${server.url}/uploads`));
      assert.equal(await stored("cors"), host === "app.example" ? blobs + 1 : blobs, "the same content twice");
      await page.close();
    }
    const page = await visit("127.0.0.1");
    assert.match(String(await page.evaluate(upload, `${server.url}/uploads`)), /Failed to fetch/);
    await page.close();
  },
);

test("in local mode, pages of other origins cannot find out what is stored by showing it", TIMEOUT, async () => {
  const { port } = site.address() as AddressInfo;
  await using allowing = await start("shown", { UPLOAD_CORS_ORIGINS: `http://app.example:${port}` });
  const shows = async (url: string): Promise<boolean> => {
    const image = new Image();
    const ended = Promise.withResolvers<boolean>();
    image.addEventListener("load", () => ended.resolve(true));
    image.addEventListener("error", () => ended.resolve(false));
    image.src = url;
    return ended.promise;
  };
  const path = `/uploads/${sha256(PNG)}.png`;
  for (const host of ["evil.example", "localhost"]) {
    const page = await visit(host);
    const found = [];
    for (const server of [servers.local, servers.open, allowing])
      found.push(await page.evaluate(shows, server.url + path));
    assert.deepEqual(found, [false, true, true], host);
    await page.close();
  }
  const own = await context().newPage();
  await own.goto(`${servers.local.url}/`);
  assert.ok(await own.evaluate(shows, servers.local.url + path), "the server's own page shows it");
  await own.close();
});
