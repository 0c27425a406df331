/**
 * Measures a collection that finds nothing to remove, over a disk store with many finished uploads:
 *
 *     node bench/collect.ts [uploads, 11000]
 *
 * The store is created in the system's folder for temporary files and removed afterwards. The
 * uploads have just been written, so even the first collection reads from the page cache; drop the
 * cache to measure a cold one.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { diskStore } from "../src/disk.ts";
import { createFixity } from "../src/index.ts";

const COLLECTION_COUNT = 3;
const CONCURRENT_UPLOADS = 16;

const count = Number(process.argv[2] ?? 11_000);
const root = await mkdtemp(join(tmpdir(), "fixity-collect-"));
try {
  await using store = diskStore({ root, durability: "none" });
  await store.check();
  await using fixity = createFixity({ store, uploads: { maxOpen: count + 1 } });
  const uploads = fixity.uploads ?? process.exit(1);
  let made = 0;
  const make = async (): Promise<void> => {
    for (let n = made++; n < count; n = made++) {
      const { id } = await uploads.create({ metadata: `filename ${n}` });
      await uploads.append(id, { offset: 0, source: [Buffer.from(`content ${n}`)], completes: true });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_UPLOADS }, make));
  for (let round = 1; round <= COLLECTION_COUNT; round += 1) {
    const [began, used] = [performance.now(), process.cpuUsage()];
    await fixity.collect();
    const { user, system } = process.cpuUsage(used);
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    const processor = ((user + system) / 1e6).toFixed(2);
    console.log(`${count} finished uploads: ${seconds} s, ${processor} s of processor time (${cpus().length} cores)`);
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
