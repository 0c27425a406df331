import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { LRUCache } from "lru-cache";
import { memoryStore } from "../src/memory.ts";
import { Digest } from "../src/index.ts";
import { ByteRange } from "../src/core/byte-range.ts";
import { ByteCache } from "../src/stores/cache/byte-cache.ts";
import { CachedStore, ENTRY_OVERHEAD_BYTES } from "../src/stores/cache/cached-store.ts";
import { resolveCacheOptions } from "../src/stores/cache/options.ts";
import { MemoryReader } from "../src/stores/memory/memory-blobs.ts";

const BUDGET = 64 * 1024 ** 2;
const BLOB_BYTES = 4096;
const COST = BLOB_BYTES + ENTRY_OVERHEAD_BYTES;
const HOT_COUNT = 10_000;
const COLD_COUNT = 1_000_000;
const WARM_UP_READS = 200_000;
const TIMED_GETS = 2_000_000;

interface Cache {
  get(key: string): object | undefined;
  set(key: string, value: object): void;
}

/** SIEVE (Zhang et al., NSDI 2024), for entries of one size. */
class Sieve implements Cache {
  readonly #capacity: number;
  readonly #nodes = new Map<string, Node>();
  #oldest: Node | null = null;
  #newest: Node | null = null;
  #hand: Node | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: string): object | undefined {
    const node = this.#nodes.get(key);
    if (node !== undefined) node.isVisited = true;
    return node?.value;
  }

  set(key: string, value: object): void {
    if (this.#nodes.size >= this.#capacity) this.#evict();
    const node: Node = { key, value, isVisited: false, older: this.#newest, newer: null };
    if (this.#newest === null) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
    this.#nodes.set(key, node);
  }

  #evict(): void {
    let node = this.#hand ?? this.#oldest;
    while (node?.isVisited === true) {
      node.isVisited = false;
      node = node.newer ?? this.#oldest;
    }
    if (node === null) return;
    this.#hand = node.newer;
    if (node.older === null) this.#oldest = node.newer;
    else node.older.newer = node.newer;
    if (node.newer === null) this.#newest = node.older;
    else node.newer.older = node.older;
    this.#nodes.delete(node.key);
  }
}

interface Node {
  readonly key: string;
  readonly value: object;
  isVisited: boolean;
  older: Node | null;
  newer: Node | null;
}

interface Scan {
  readonly name: string;
  readonly coldPerHot: number;
  readonly readsPerCold: number;
}

const SCANS: readonly Scan[] = [
  { name: "1 cold per hot read", coldPerHot: 1, readsPerCold: 1 },
  { name: "10", coldPerHot: 10, readsPerCold: 1 },
  { name: "10, each read twice", coldPerHot: 10, readsPerCold: 2 },
];

const CONTENDERS: Readonly<Record<string, () => Cache>> = {
  "fixity (S3-FIFO)": () => {
    const cache = new ByteCache<object>(BUDGET);
    return { get: (key) => cache.get(key), set: (key, value) => cache.set(key, value, COST) };
  },
  "lru-cache": () => {
    const cache = new LRUCache<string, object>({ maxSize: BUDGET });
    return { get: (key) => cache.get(key), set: (key, value) => void cache.set(key, value, { size: COST }) };
  },
  SIEVE: () => new Sieve(Math.floor(BUDGET / COST)),
};

/**
 * How the eviction of the cache for small blobs compares with others when a scan passes, what a
 * lookup costs, and how much memory an entry takes.
 */
export async function caches(): Promise<void> {
  const hot = Array.from({ length: HOT_COUNT }, (_, n) => hexOf(`hot ${n}`));
  console.log(`\nHits among reads of ${HOT_COUNT} hot blobs (Zipf) while a scan of ${COLD_COUNT} cold ones passes`);
  for (const [name, make] of Object.entries(CONTENDERS)) {
    const rates = SCANS.map((scan) => `${scan.name} ${(100 * hitRate(make(), hot, scan)).toFixed(1)} %`);
    console.log(`  ${name.padEnd(18)} ${rates.join(", ")}; one get: ${nsPerGet(make(), hot).toFixed(0)} ns`);
  }
  console.log("\nMemory of an entry besides its bytes, of which the budget counts " + ENTRY_OVERHEAD_BYTES);
  for (const size of [16, 1024, BLOB_BYTES]) {
    const bytes = await entryOverhead(size, 20_000);
    console.log(`  blobs of ${String(size).padStart(5)} bytes: ${bytes.toFixed(0)} bytes in the heap`);
  }
}

function hitRate(cache: Cache, hot: readonly string[], { coldPerHot, readsPerCold }: Scan): number {
  const next = zipf(hot.length);
  const read = (key: string): boolean => {
    if (cache.get(key) !== undefined) return true;
    cache.set(key, {});
    return false;
  };
  for (let n = 0; n < WARM_UP_READS; n++) read(hot[next()] ?? "");
  let [hits, reads] = [0, 0];
  for (let cold = 0; cold < COLD_COUNT; cold++) {
    const key = hexOf(`cold ${cold}`);
    for (let n = 0; n < readsPerCold; n++) read(key);
    if (cold % coldPerHot !== 0) continue;
    reads++;
    if (read(hot[next()] ?? "")) hits++;
  }
  return hits / reads;
}

function nsPerGet(cache: Cache, hot: readonly string[]): number {
  for (const key of hot) cache.set(key, {});
  const next = zipf(hot.length);
  const keys = Array.from({ length: TIMED_GETS }, () => hot[next()] ?? "");
  const startedAt = performance.now();
  for (const key of keys) cache.get(key);
  return ((performance.now() - startedAt) * 1e6) / TIMED_GETS;
}

/** Bytes per entry of a full cached store, in the heap and in buffers, besides those of the blobs. */
async function entryOverhead(size: number, count: number): Promise<number> {
  const bytes = Buffer.alloc(size);
  const inner = memoryStore();
  inner.open = async () => {
    const identity = `64768:${bytes.readUInt32LE()}:${size}:1795876474123456789`;
    return new MemoryReader({ bytes, identity }, ByteRange.resolve(undefined, size), undefined);
  };
  await using store = CachedStore.over(inner, resolveCacheOptions({ budget: 2 ** 40 }));
  const before = await memoryInUse();
  for (let n = 0; n < count; n++) {
    bytes.writeUInt32LE(n);
    await store.open(Digest.parse(hexOf(bytes)));
  }
  return ((await memoryInUse()) - before) / count - size;
}

async function memoryInUse(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What finalizers release goes with a later one.
  for (let round = 0; round < 3; round++) {
    collect();
    await setImmediate();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function hexOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Draws ranks from a Zipf distribution (exponent 1), the same sequence each time. */
function zipf(count: number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= count; rank++) sums.push((sum += 1 / rank));
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const drawn = (state / 2 ** 32) * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) < drawn) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
