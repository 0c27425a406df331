/** A damaged file behind Express's `compression()`, which sends it without a length. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import compression from "compression";
import express from "express";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { listen } from "../helpers/listen.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { flip } from "./damaging.ts";

test("a damaged file that is compressed on its way is never taken for whole", async () => {
  for (const size of [1000, 300 * 1024, 3 * 1024 ** 2]) {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path, durability: "none", log: () => null });
    await using fixity = createFixity({ store, log: () => null });
    const bytes = Buffer.alloc(size, "Words that can be compressed. ");
    const { digest, url } = await fixity.put(bytes, { extension: "txt" });
    await using server = await listen(
      express()
        .use(compression({ threshold: 0 }))
        .use(nodeHandler(fixity)),
    );
    const address = new URL(url, server.url);
    const intact = await fetch(address);
    assert.equal(intact.headers.get("content-encoding"), "gzip");
    assert(Buffer.from(await intact.arrayBuffer()).equals(bytes));
    await flip(folder.blob(digest.hex), size - 1);
    const first = await fetch(address);
    if (first.status === 200) await assert.rejects(first.arrayBuffer(), `${size} bytes`);
    else assert.equal(first.status, 500);
    // The second read tells whether it is damaged.
    assert.equal((await fetch(address)).status, 500);
  }
});

test("a large file that is compressed on its way adds no listener per chunk", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  try {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path, durability: "none", log: () => null });
    await using fixity = createFixity({ store, log: () => null });
    const bytes = randomBytes(8 * 1024 ** 2);
    const { url } = await fixity.put(bytes, { extension: "txt" });
    let drained = 0;
    await using server = await listen(
      express()
        .use(compression())
        .use((_, response, next) => {
          response.on("drain", () => (drained += 1));
          next();
        })
        .use(nodeHandler(fixity)),
    );
    const answer = await fetch(new URL(url, server.url));
    assert.equal(answer.headers.get("content-encoding"), "gzip");
    assert(Buffer.from(await answer.arrayBuffer()).equals(bytes));
    assert.ok(drained > 11, `${drained} chunks were waited for`);
    // Node warns of an eleventh listener in the next tick.
    assert.deepEqual(warnings, []);
  } finally {
    process.off("warning", onWarning);
  }
});
