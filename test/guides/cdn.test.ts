/** docs/guides/cdn.md: what a CDN sees of each response, with the settings of the guide. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Guide } from "../helpers/guide.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const TOKEN = "a-token-that-uploads";
const LINK_KEY = "a key for links that is long enough";

/** The settings that a block of a guide exports. */
function settingsOf(code: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Array.from(code.matchAll(/^export (\w+)=(\S+)/gm), ([, name, value]) => [name, value]));
}

test("a CDN may keep public files for a year, and nothing else", async () => {
  await using guide = await Guide.open("cdn");
  const dir = join(guide.folder, "data");
  const settings: Readonly<Record<string, string>> = {
    ...settingsOf(guide.code("UPLOAD_CACHE_TAGS")),
    ...settingsOf(guide.code("UPLOAD_MAX_APPEND_SIZE")),
    UPLOAD_TOKENS: `client=${TOKEN}`,
    UPLOAD_LINK_KEYS: LINK_KEY,
  };
  assert.equal(settings["UPLOAD_CACHE_TAGS"], "yes");
  const hex = sha256("a file");
  const path = `/uploads/${hex}.png`;
  const ofPublic = "public, max-age=31536000, immutable";
  {
    await using server = await ServerProcess.start({ dir, env: settings });
    const init = { method: "PUT", body: "a file", headers: { Authorization: `Bearer ${TOKEN}` } };
    const stored = await fetch(server.url + path, init);
    assert.equal(stored.headers.get("location"), `https://files.example.com${path}`);
    const range = { headers: { Range: "bytes=0-1" } };
    for (const [target, status, cacheControl, options] of [
      [path, 200, ofPublic, {}],
      [path, 206, ofPublic, range],
      [`${path}?download`, 200, ofPublic, {}],
      [`${path}?view`, 200, "no-cache", {}],
      [`/uploads/${sha256("absent")}.png`, 404, "no-store", {}],
    ] as const) {
      const response = await fetch(server.url + target, options);
      await response.arrayBuffer();
      const tags = response.headers.get("cache-tag");
      assert.deepEqual([response.status, response.headers.get("cache-control")], [status, cacheControl], target);
      assert.equal(tags, target.includes(hex) ? hex : sha256("absent"), target);
    }
    const limits = await fetch(`${server.url}/uploads`, { method: "OPTIONS" });
    assert.match(limits.headers.get("upload-limit") ?? "", /max-append-size=94371840/);
  }
  await using server = await ServerProcess.start({ dir, env: { ...settings, UPLOAD_READS: "signed" } });
  const sign = `fixity sign ${hex}.png --expires 1h --url ${server.url}`;
  const { out } = await guide.shell(sign, { UPLOAD_LINK_KEYS: LINK_KEY });
  const read = await fetch(out.trim());
  assert.equal(read.status, 200);
  assert.match(read.headers.get("cache-control") ?? "", /^private, max-age=\d+/);
  assert.match((await fetch(server.url + path)).headers.get("cache-control") ?? "", /no-store/);
});
