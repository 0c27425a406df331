import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FixityError } from "../../src/core/errors.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { content, digestOf, isStoreFailure, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { type Fault, FaultProxy } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import { type InnerOptions, S3Place } from "./place.ts";

const MIB = 1024 * 1024;
const SMALL = 10_000;
/** Two parts. */
const LARGE = 5 * MIB + 1000;
const FOREVER = 1_000;

/** What passes when it happens once. */
const PASSING: readonly Fault[] = [
  "delay",
  "reset-before",
  "reset-within",
  "lost-answer",
  "cut-answer",
  "stall",
  "status-500",
  "done-500",
  "slow-down",
  "error-in-200",
];

/** What S3 means when it says it, or says without meaning it. */
const STRANGE: readonly Fault[] = ["status-412", "wrong-etag", "status-403"];

/** What happens to every request of a kind. */
const LASTING: readonly Fault[] = [
  "reset-before",
  "lost-answer",
  "done-500",
  "error-in-200",
  "status-412",
  "status-403",
];

/** A way of writing, and the calls it makes. */
interface Path {
  readonly name: string;
  readonly size: number;
  readonly isDeclared?: boolean;
  readonly inner?: InnerOptions;
  readonly calls: readonly string[];
}

const ONE_PUT: Path = { name: "one PUT", size: SMALL, calls: ["PutObject"] };

const PATHS: readonly Path[] = [
  ONE_PUT,
  {
    name: "parts at the final key",
    size: LARGE,
    isDeclared: true,
    calls: ["CreateMultipartUpload", "UploadPart", "HeadObject", "CompleteMultipartUpload"],
  },
  {
    name: "parts, then a copy",
    size: LARGE,
    calls: [
      "CreateMultipartUpload",
      "UploadPart",
      "HeadObject",
      "CompleteMultipartUpload",
      "CopyObject",
      "DeleteObject",
    ],
  },
  {
    name: "parts, then a copy in parts",
    size: LARGE,
    inner: {
      copyLimits: { wholeUpTo: 0, wholeUntried: 0, wholeAtMost: 0, partSize: 5 * MIB, maxParts: 100, concurrency: 2 },
    },
    calls: ["UploadPartCopy", "CompleteMultipartUpload"],
  },
];

/**
 * Limits for what stands still: longer than an answered request takes on a busy machine. Only the fault "stall" reaches
 * them, as its answer never ends.
 */
const FEW_ATTEMPTS = { attempts: 4, timeouts: { answer: 5_000, idle: 5_000, completion: 5_000, retries: 60_000 } };

/** At the same time, as most of it is waiting; a sample of them in a short run. */
async function all(faults: readonly Fault[], work: (fault: Fault) => Promise<unknown>): Promise<void> {
  await Promise.all(someOf(faults, 2).map(work));
}

async function upload(store: BlobStore, bytes: Uint8Array, { isDeclared = false }: Path): Promise<void> {
  const hints: StageOptions = isDeclared ? { digest: digestOf(bytes), length: bytes.length } : {};
  await using staged = await store.stage(hints);
  await writeAll(staged, bytes);
  await staged.commit(digestOf(bytes));
}

async function readBack(store: BlobStore, bytes: Uint8Array): Promise<"absent" | "whole"> {
  await using reader = await store.open(digestOf(bytes));
  if (reader === null) return "absent";
  assert((await readAll(reader)).equals(bytes), "what can be read is what was written");
  return "whole";
}

/** Uploads under a fault; afterwards there is the whole blob or none, and after a collection nothing else. */
async function uploadUnder(gateway: Gateway, path: Path, strike: { call: string; fault: Fault; times: number }) {
  await using proxy = await FaultProxy.start(gateway.endpoint);
  await using place = new S3Place(gateway);
  await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS }, path.inner);
  // Another's eyes, on which no fault lies.
  await using witness = place.store({}, { abandonedAfter: -Infinity });
  const bytes = content(path.size, strike.times);
  proxy.strike({ operation: strike.call, fault: strike.fault, times: strike.times });
  let failure: unknown = null;
  try {
    await upload(store, bytes, path);
  } catch (error) {
    failure = error;
  }
  assert(proxy.hasStruck, "the fault has happened");
  await proxy.reset();
  const found = await readBack(witness, bytes);
  if (failure === null) assert.equal(found, "whole", "what was acknowledged is there");
  else assert(isStoreFailure(failure));
  await witness.collect();
  assert.equal(await place.leftovers(), 0, "a collection leaves nothing half-written");
  assert.equal(await readBack(witness, bytes), found, "and takes nothing that is whole");
  return failure;
}

export function faultsSuite(gateway: Gateway): void {
  void describe("faults while writing", () => {
    const places = PATHS.flatMap((path) => path.calls.map((call) => ({ path, call })));
    for (const { path, call } of someOf(places, 7)) {
      void test(`${path.name}: ${call} fails in passing, and the upload succeeds`, async () => {
        await all(PASSING, async (fault) => {
          const failure = await uploadUnder(gateway, path, { call, fault, times: 1 });
          assert.equal(failure, null, fault);
        });
      });

      void test(`${path.name}: ${call} answers strangely, and nothing wrong is acknowledged`, async () => {
        await all(STRANGE, async (fault) => uploadUnder(gateway, path, { call, fault, times: 1 }));
      });

      void test(`${path.name}: ${call} fails for good, and nothing wrong is acknowledged`, async () => {
        await all(LASTING, async (fault) => uploadUnder(gateway, path, { call, fault, times: FOREVER }));
      });
    }
  });

  void describe("faults while reading", () => {
    const bytes = content(3 * MIB);

    const reading = async (work: (store: BlobStore, proxy: FaultProxy) => Promise<void>) => {
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using place = new S3Place(gateway);
      await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS });
      await upload(store, bytes, ONE_PUT);
      await work(store, proxy);
    };

    for (const fault of [...PASSING, "wrong-etag"] as const) {
      void test(`a read that meets "${fault}" once gives all bytes`, async () =>
        reading(async (store, proxy) => {
          proxy.strike({ operation: "GetObject", fault });
          assert.equal(await readBack(store, bytes), "whole");
          assert(proxy.hasStruck);
        }));
    }

    // Each stall lasts as long as the limit.
    for (const fault of isFullRun ? (["cut-answer", "stall"] as const) : (["cut-answer"] as const)) {
      void test(`a read that meets "${fault}" time and again ends with an error, never early`, async () =>
        reading(async (store, proxy) => {
          const few = content(20);
          await upload(store, few, ONE_PUT);
          proxy.strike({ operation: "GetObject", fault, times: FOREVER });
          // Each attempt brings half of what is left, and so it may come to its end.
          const outcome = await readBack(store, few).catch((error: unknown) => error);
          assert(outcome === "whole" || isStoreFailure(outcome));
        }));
    }

    void test("a blob that cannot be opened is not taken for an absent one", async () =>
      reading(async (store, proxy) => {
        for (const fault of ["status-500", "status-403", "reset-before"] as const) {
          for (const operation of ["GetObject", "HeadObject"]) {
            proxy.strike({ operation, fault, times: FOREVER });
            const digest = digestOf(bytes);
            const call = operation === "GetObject" ? store.open(digest) : store.stat(digest);
            await assert.rejects(call, isStoreFailure);
          }
        }
      }));

    void test("a listing that fails on its way does not end early", async () =>
      reading(async (store, proxy) => {
        for (const fault of ["status-403", "cut-answer", "error-in-200"] as const) {
          proxy.strike({ operation: "ListObjectsV2", fault, times: FOREVER });
          await assert.rejects(async () => {
            for await (const stat of store.list()) assert.fail(`listed ${stat.digest.hex}`);
          }, isStoreFailure);
        }
      }));

    void test("a removal that is not known to have been made is not acknowledged", async () =>
      reading(async (store, proxy) => {
        proxy.strike({ operation: "DeleteObject", fault: "error-in-200", times: FOREVER });
        await assert.rejects(store.remove(digestOf(bytes)), isStoreFailure);
        proxy.strike({ operation: "DeleteObject", fault: "lost-answer" });
        assert.equal(await store.remove(digestOf(bytes)), true);
        assert.equal(await store.stat(digestOf(bytes)), null);
      }));

    void test("a store that has too much to do says so", async () =>
      reading(async (store, proxy) => {
        proxy.strike({ operation: "HeadObject", fault: "slow-down", times: FOREVER });
        await assert.rejects(store.stat(digestOf(bytes)), (error: unknown) => error instanceof FixityError);
      }));
  });

  void describe("faults while collecting", () => {
    for (const call of ["ListMultipartUploads", "ListParts", "AbortMultipartUpload", "ListObjectsV2", "DeleteObject"]) {
      void test(`${call} fails in passing, and everything is removed`, async () => {
        await using proxy = await FaultProxy.start(gateway.endpoint);
        await using place = new S3Place(gateway);
        await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS }, { abandonedAfter: -Infinity });
        for (const fault of PASSING.filter((fault) => fault !== "stall")) {
          await place.abandon();
          await place.put(place.layout.newStaging(), content(10));
          proxy.strike({ operation: call, fault });
          await store.collect();
          assert(proxy.hasStruck);
          await proxy.reset();
          assert.equal(await place.leftovers(), 0, fault);
        }
      });
    }
  });
}
