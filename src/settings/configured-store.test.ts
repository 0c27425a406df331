import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { BlobStore } from "../core/store.ts";
import { content, digestOf, keep, openExisting, readAll } from "../stores/contract/tools.ts";
import { type Config, readConfig } from "./config.ts";
import { openServerStore, openStore } from "./configured-store.ts";

/** Whether the store of a configuration serves a small blob from memory. */
async function isCached(open: (config: Config) => Promise<BlobStore>, env: Record<string, string>): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    await using store = await open(readConfig({ env: { UPLOAD_DIR: folder, ...env } }));
    await keep(store, content(1000));
    await readAll(await openExisting(store, digestOf(content(1000))));
    await using reader = await openExisting(store, digestOf(content(1000)));
    return reader.verifiedBytes !== undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("a server keeps small blobs in memory, unless the cache has no bytes; commands do not", async () => {
  const ofServer = (config: Config): Promise<BlobStore> => openServerStore(config, () => undefined);
  assert.equal(await isCached(ofServer, {}), true);
  assert.equal(await isCached(ofServer, { UPLOAD_CACHE: "1MiB" }), true);
  assert.equal(await isCached(ofServer, { UPLOAD_CACHE: "0" }), false);
  assert.equal(await isCached((config) => openStore(config, () => undefined), {}), false);
});
