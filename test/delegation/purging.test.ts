/** A real nginx that caches what fixity sends, and a hook that purges it: the script of docs/caching.md. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { Digest, type OnPurge } from "../../src/index.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { needing } from "../helpers/requirements.ts";
import { Service, sha256 } from "../helpers/service.ts";

const BYTES = Buffer.from("a picture that many have seen");
const OTHER = Buffer.from("another one");
const PATHS = ["", ".png", ".png?filename=a.png", ".jpg?download"];
const DOCUMENTATION = new URL("../../docs/caching.md", import.meta.url);

const CACHE = `
proxy_cache_path /var/cache/nginx/fixity levels=1:2 keys_zone=fixity:1m max_size=10m inactive=30d use_temp_path=off;
server {
    listen 80;
    location / {
        proxy_pass http://127.0.0.1:3000;
        proxy_set_header Host $http_host;
        proxy_cache fixity;
        add_header X-Cache $upstream_cache_status always;
    }
}`;

/** A service behind an nginx that caches. */
async function cachedPlace() {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "fixity-cache-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const [, script = ""] = /```sh\n(grep .*)\n```/.exec(await readFile(DOCUMENTATION, "utf8")) ?? [];
  const onPurge: OnPurge = async ({ hex }) => {
    const command = script.replace("/var/cache/nginx/fixity", folder);
    assert.notEqual(command, script);
    await promisify(execFile)("sh", ["-c", command], { env: { PATH: process.env["PATH"], HEX: hex } });
  };
  const service = stack.use(await Service.start({ authorize: () => {}, cacheTags: true, onPurge }));
  for (const bytes of [BYTES, OTHER]) await service.fixity.put(bytes);
  const places = { "127.0.0.1:3000": `127.0.0.1:${service.port}`, "/var/cache/nginx/fixity": folder };
  const front = stack.use(await FrontServer.nginxWith(CACHE, places));
  const owned = stack.move();
  return {
    service,
    /** The status through the cache, and whether it came from there. */
    get: async (bytes: Buffer, path: string, init: RequestInit = {}): Promise<string> => {
      const response = await fetch(`${front.url}/uploads/${sha256(bytes)}${path}`, init);
      await response.arrayBuffer();
      return `${response.status} ${response.headers.get("x-cache")}`;
    },
    files: async () => (await readdir(folder, { recursive: true, withFileTypes: true })).filter((one) => one.isFile()),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("one purge", needing("nginx"), () => {
  test("drops every link to a blocked or removed file from a cache, and no other file", async () => {
    await using place = await cachedPlace();
    const { service, get } = place;
    const digest = Digest.parse(sha256(BYTES));
    const fill = async (): Promise<void> => {
      for (const path of PATHS) await get(BYTES, path);
      for (const path of PATHS) assert.equal(await get(BYTES, path), "200 HIT", path);
      assert.equal(await get(BYTES, ".png", { headers: { Range: "bytes=0-3" } }), "206 HIT");
    };
    await get(OTHER, ".png");
    await fill();
    assert.equal((await place.files()).length, PATHS.length + 1);
    await service.fixity.block(digest, { reason: "x" });
    for (const path of PATHS) assert.equal(await get(BYTES, path), "451 MISS", path);
    assert.equal(await get(BYTES, "", { headers: { "If-None-Match": `"${digest.hex}"` } }), "451 MISS");
    await service.fixity.unblock(digest);
    await fill();
    assert.equal((await fetch(`${service.url}/uploads/${digest.hex}`, { method: "DELETE" })).status, 204);
    for (const path of PATHS) assert.equal(await get(BYTES, path), "404 MISS", path);
    assert.equal(await get(OTHER, ".png"), "200 HIT");
  });
});
