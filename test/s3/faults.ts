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

/** Faults that a retry overcomes if they happen once. */
const TRANSIENT: readonly Fault[] = [
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

/** Responses that may be genuine or wrong. */
const AMBIGUOUS: readonly Fault[] = ["status-412", "wrong-etag", "status-403"];

/** Faults of every request of an operation. */
const PERMANENT: readonly Fault[] = [
  "reset-before",
  "lost-answer",
  "done-500",
  "error-in-200",
  "status-412",
  "status-403",
];

/** A way of writing a blob, and its requests. */
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
 * Timeouts longer than any answered request takes on a busy machine. Only the fault "stall" reaches
 * them, because its response never ends.
 */
const FEW_ATTEMPTS = { attempts: 4, timeouts: { answer: 5_000, idle: 5_000, completion: 5_000, retries: 60_000 } };

/** Runs all faults concurrently, because most of the time is waiting; in a short run a sample. */
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
  assert((await readAll(reader)).equals(bytes), "the stored bytes are those that were written");
  return "whole";
}

/**
 * Uploads under a fault. Asserts that the whole blob or none is stored, and after a collection
 * nothing else.
 */
async function uploadUnder(gateway: Gateway, path: Path, strike: { call: string; fault: Fault; times: number }) {
  await using proxy = await FaultProxy.start(gateway.endpoint);
  await using place = new S3Place(gateway);
  await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS }, path.inner);
  // A second store without faults.
  await using witness = place.store({}, { abandonedAfter: -Infinity });
  const bytes = content(path.size, strike.times);
  proxy.strike({ operation: strike.call, fault: strike.fault, times: strike.times });
  let failure: unknown = null;
  try {
    await upload(store, bytes, path);
  } catch (error) {
    failure = error;
  }
  assert(proxy.hasStruck, "the fault occurred");
  await proxy.reset();
  const found = await readBack(witness, bytes);
  if (failure === null) assert.equal(found, "whole", "an acknowledged blob is stored");
  else assert(isStoreFailure(failure));
  await witness.collect();
  assert.equal(await place.leftovers(), 0, "a collection removes everything incomplete");
  assert.equal(await readBack(witness, bytes), found, "and nothing complete");
  return failure;
}

export function faultsSuite(gateway: Gateway): void {
  void describe("faults while writing", () => {
    const places = PATHS.flatMap((path) => path.calls.map((call) => ({ path, call })));
    for (const { path, call } of someOf(places, 3)) {
      void test(`${path.name}: ${call} fails once, and the upload succeeds`, async () => {
        await all(TRANSIENT, async (fault) => {
          const failure = await uploadUnder(gateway, path, { call, fault, times: 1 });
          assert.equal(failure, null, fault);
        });
      });

      void test(`${path.name}: ${call} gets an ambiguous response, and nothing wrong is acknowledged`, async () => {
        await all(AMBIGUOUS, async (fault) => uploadUnder(gateway, path, { call, fault, times: 1 }));
      });

      void test(`${path.name}: ${call} always fails, and nothing wrong is acknowledged`, async () => {
        await all(PERMANENT, async (fault) => uploadUnder(gateway, path, { call, fault, times: FOREVER }));
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

    for (const fault of someOf<Fault>([...TRANSIENT, "wrong-etag"], 4)) {
      void test(`a read that meets "${fault}" once returns all bytes`, async () =>
        reading(async (store, proxy) => {
          proxy.strike({ operation: "GetObject", fault });
          assert.equal(await readBack(store, bytes), "whole");
          assert(proxy.hasStruck);
        }));
    }

    // Each stall lasts as long as the limit.
    for (const fault of isFullRun ? (["cut-answer", "stall"] as const) : (["cut-answer"] as const)) {
      void test(`a read that always meets "${fault}" fails and is never truncated`, async () =>
        reading(async (store, proxy) => {
          const few = content(20);
          await upload(store, few, ONE_PUT);
          proxy.strike({ operation: "GetObject", fault, times: FOREVER });
          // Each attempt reads half of the rest, so the read may also complete.
          const outcome = await readBack(store, few).catch((error: unknown) => error);
          assert(outcome === "whole" || isStoreFailure(outcome));
        }));
    }

    void test("a blob that cannot be opened does not count as absent", async () =>
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

    void test("a listing that fails midway throws and does not end early", async () =>
      reading(async (store, proxy) => {
        for (const fault of ["status-403", "cut-answer", "error-in-200"] as const) {
          proxy.strike({ operation: "ListObjectsV2", fault, times: FOREVER });
          await assert.rejects(async () => {
            for await (const stat of store.list()) assert.fail(`listed ${stat.digest.hex}`);
          }, isStoreFailure);
        }
      }));

    void test("a removal with an unknown outcome is not acknowledged", async () =>
      reading(async (store, proxy) => {
        proxy.strike({ operation: "DeleteObject", fault: "error-in-200", times: FOREVER });
        await assert.rejects(store.remove(digestOf(bytes)), isStoreFailure);
        proxy.strike({ operation: "DeleteObject", fault: "lost-answer" });
        assert.equal(await store.remove(digestOf(bytes)), true);
        assert.equal(await store.stat(digestOf(bytes)), null);
      }));

    void test("an overloaded server is reported as a FixityError", async () =>
      reading(async (store, proxy) => {
        proxy.strike({ operation: "HeadObject", fault: "slow-down", times: FOREVER });
        await assert.rejects(store.stat(digestOf(bytes)), (error: unknown) => error instanceof FixityError);
      }));
  });

  void describe("faults while collecting", () => {
    const calls = ["ListMultipartUploads", "ListParts", "AbortMultipartUpload", "ListObjectsV2", "DeleteObject"];
    for (const call of someOf(calls, 3)) {
      void test(`${call} fails once, and everything is removed`, async () => {
        await using proxy = await FaultProxy.start(gateway.endpoint);
        await using place = new S3Place(gateway);
        await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS }, { abandonedAfter: -Infinity });
        const faults = TRANSIENT.filter((fault) => fault !== "stall");
        for (const fault of someOf(faults, 4)) {
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
