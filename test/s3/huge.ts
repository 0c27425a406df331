import assert from "node:assert/strict";
import { createCipheriv, createHash } from "node:crypto";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
import { Digest } from "../../src/core/digest.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import { openExisting } from "../../src/stores/contract/tools.ts";
import { isFullRun } from "../helpers/full-run.ts";
import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** More than S3 copies as a whole, and more than 32 bits can count. */
const HUGE = 6 * GIB + 12_345;
/** The upload itself, its copy, and what the server has not yet given back. */
const ROOM = 20 * GIB;
/** All that an upload may hold, and what the runtime needs besides. */
const MOST_MEMORY = 128 * MIB + 256 * MIB;

/** Bytes that cannot be compressed, the same for the same seed, never more than a MiB of them at a time. */
function* hugeContent(seed: number): Generator<Buffer, void> {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16));
  const nothing = Buffer.alloc(MIB);
  for (let left = HUGE; left > 0; left -= MIB) yield cipher.update(nothing.subarray(0, Math.min(left, MIB)));
}

async function digestOf(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return Digest.parse(hash.digest("hex"));
}

/** The most memory of this process while something is done, above what it had before. */
async function memoryOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 100);
  try {
    await work();
  } finally {
    clearInterval(watch);
  }
  return most - before;
}

/** Files larger than everything that is counted in 32 bits or copied in one go. */
export function hugeSuite(gateway: Gateway): void {
  const skip = isFullRun ? false : "takes minutes and 20 GiB of disk: part of npm run test:full";

  void describe("huge files", { skip }, () => {
    for (const [what, isAnnounced, seed] of [
      ["whose digest was announced", true, 1],
      ["of unknown digest", false, 2],
    ] as const) {
      void test(`a file of 6 GiB ${what} is stored and read back in bounded memory`, async (context) => {
        const { bavail, bsize } = await statfs(tmpdir());
        if (bavail * bsize < ROOM) return context.skip(`needs ${ROOM / GIB} GiB of disk`);
        await using place = new S3Place(gateway);
        await using store = place.store({ partSize: 8 * MIB });
        const digest = await digestOf(hugeContent(seed));
        const hints: StageOptions = isAnnounced ? { digest, length: HUGE } : {};
        const began = performance.now();
        const forUpload = await memoryOf(async () => {
          await using staged = await store.stage(hints);
          for (const chunk of hugeContent(seed)) await staged.write(chunk);
          assert.equal((await staged.commit(digest)).existed, false);
        });
        const uploaded = performance.now();
        assert.equal((await store.stat(digest))?.size, HUGE);
        assert.equal(await place.leftovers(), 0);
        // What was copied must not live on what has been removed.
        await gateway.collectGarbage?.();
        const reading = performance.now();
        const forReading = await memoryOf(async () => {
          await using reader = await openExisting(store, digest);
          assert((await digestOf(reader)).equals(digest), "the bytes read are those that were written");
        });
        const read = performance.now();
        context.diagnostic(
          `upload ${Math.round(uploaded - began)} ms and ${Math.round(forUpload / MIB)} MiB, ` +
            `reading ${Math.round(read - reading)} ms and ${Math.round(forReading / MIB)} MiB`,
        );
        assert(forUpload < MOST_MEMORY && forReading < MOST_MEMORY);
        await store.remove(digest);
        await gateway.collectGarbage?.();
      });
    }
  });
}
