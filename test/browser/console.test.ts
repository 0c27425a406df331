/** What developers of a page see in the browser's console while it uploads: nothing. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { openClientSite } from "./client-site.ts";
import { openWatchedPage } from "./watched-page.ts";

const MIB = 1024 ** 2;

test(
  "the console stays empty while files are uploaded, stored before, resumed and cancelled",
  needingChromium(),
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
    await using site = await openClientSite();
    const env = { UPLOAD_CORS_ORIGINS: `http://127.0.0.1:${site.port}` };
    await using server = await ServerProcess.start({ dir: join(folder, "data"), env });
    await using browser = await openBrowser();
    const { page, sent } = await openWatchedPage(browser.context, `http://127.0.0.1:${site.port}/`);
    const messages: string[] = [];
    page.on("console", (message) => messages.push(`${message.type()}: ${message.text()}`));
    const choose = async (name: string, bytes: Uint8Array): Promise<void> => {
      await writeFile(join(folder, name), bytes);
      await page.setInputFiles("#file", join(folder, name));
    };
    const upload = (options: { readonly endpoint: string }) => page.evaluate((to) => window.upload(to), options);
    const endpoint = `${server.url}/uploads`;
    try {
      for (const size of [0, 1000, 3 * MIB, 20 * MIB]) {
        await choose(`${size}.bin`, randomBytes(size));
        assert.equal((await upload({ endpoint })).existed, false);
        assert.equal((await upload({ endpoint })).existed, true);
      }
      assert.ok(sent.some((request) => request.method() === "HEAD" && request.url().endsWith("?stored")));

      const proxy = await BreakingProxy.start(server.port, { up: 20 * MIB, holds: true, times: 1 });
      await using _ = proxy;
      const behind = { endpoint: `${proxy.url}/uploads` };
      await choose("resumed.bin", randomBytes(40 * MIB));
      await page.evaluate((to) => void window.upload(to).catch(() => null), behind);
      await until(async () => proxy.broken === 1);
      await page.reload();
      await page.setInputFiles("#file", join(folder, "resumed.bin"));
      assert.ok((await upload(behind)).from >= 16 * MIB);

      await choose("cancelled.bin", randomBytes(40 * MIB));
      assert.equal(await page.evaluate((to) => window.cancelled(to), { endpoint }), "aborted");
      assert.equal(sent.at(-1)?.method(), "DELETE");
      assert.deepEqual(messages, []);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
