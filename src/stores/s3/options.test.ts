import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../core/errors.ts";
import { resolveS3Options, type S3StoreOptions } from "./options.ts";

const MIB = 1024 * 1024;
const BASE: S3StoreOptions = { bucket: "files", endpoint: "https://s3.example.com" };

test("every option has the default that its doc comment states", () => {
  const { endpoint, publicEndpoint, log: _, ...resolved } = resolveS3Options(BASE);
  assert.deepEqual(publicEndpoint, endpoint);
  assert.deepEqual(resolved, {
    bucket: "files",
    region: "us-east-1",
    credentials: null,
    keyPrefix: "",
    partSize: 8 * MIB,
    fixedPartSize: false,
    maxParts: 10_000,
    memory: { budget: 96 * MIB, queue: 1_000, minRate: 65_536, window: 5_000 },
    copyLimits: {
      wholeUpTo: 256 * MIB,
      wholeUntried: 1_024 * MIB,
      wholeAtMost: 5_120 * MIB,
      partSize: 128 * MIB,
      concurrency: 8,
      maxParts: 10_000,
    },
    concurrency: 4,
    connections: 128,
    signParts: false,
    timeouts: { connect: 5_000, answer: 30_000, idle: 30_000, completion: 300_000, look: 20_000, retries: 75_000 },
    attempts: Infinity,
    abandonedAfter: 24 * 3_600_000,
    idleLimit: 12 * 3_600_000,
  });
});

test("the memory budget grows with the part size, so that two uploads always make progress", () => {
  assert.equal(resolveS3Options({ ...BASE, partSize: 64 * MIB }).memory.budget, 256 * MIB);
  assert.throws(() => resolveS3Options({ ...BASE, partSize: 64 * MIB, memoryBudget: 255 * MIB }), /memoryBudget/);
});

test("parts are signed over http, or on request", () => {
  const signs = (options: Partial<S3StoreOptions>) => resolveS3Options({ ...BASE, ...options }).signParts;
  assert.equal(signs({ endpoint: "http://10.0.0.1" }), true);
  assert.equal(signs({ endpoint: "http://10.0.0.1", partIntegrity: "unsigned" }), false);
  assert.equal(signs({ partIntegrity: "signed" }), true);
});

test("a prefix ends with one slash", () => {
  for (const [given, becomes] of [
    ["", ""],
    ["a", "a/"],
    ["a/", "a/"],
    ["a/b.c~d_e-f/", "a/b.c~d_e-f/"],
    ["...", ".../"],
  ] as const) {
    assert.equal(resolveS3Options({ ...BASE, keyPrefix: given }).keyPrefix, becomes);
  }
});

const WRONG: readonly (readonly [name: string, options: Partial<S3StoreOptions>])[] = [
  ...["/", "/a", "a//b", "a b", "../a", "a/./b", "a/..", "ä", "a?b", "a%2Fb", "a\n", "x".repeat(901)].map(
    (keyPrefix) => ["keyPrefix", { keyPrefix }] as const,
  ),
  ...[0, 5 * MIB - 1, 5_120 * MIB + 1, 5.5 * MIB + 0.5, Number.NaN, -1].map(
    (partSize) => ["partSize", { partSize }] as const,
  ),
  ...[0, 10_001, 1.5].map((maxParts) => ["maxParts", { maxParts }] as const),
  ["queueLimit", { queueLimit: -1 }],
  ["minRate", { minRate: -1 }],
  ["concurrency", { concurrency: 0 }],
  ["connections", { connections: 0 }],
  ["attempts", { attempts: 0 }],
  ["timeouts.answer", { timeouts: { answer: 0 } }],
  ["timeouts.retries", { timeouts: { retries: 2 ** 31 } }],
  ...[0, 0.5, Number.NaN].map((abandonedAfter) => ["abandonedAfter", { abandonedAfter }] as const),
  ["accessKey and secretKey", { accessKey: "a" }],
  ["accessKey and secretKey", { secretKey: "s3cret" }],
  ["accessKey and secretKey", { accessKey: "", secretKey: "s3cret" }],
  ["accessKey and secretKey", { sessionToken: "s3cret" }],
];

test("a wrong value is refused by its option's name, and keys are not repeated", () => {
  for (const [name, options] of WRONG) {
    assert.throws(
      () => resolveS3Options({ ...BASE, ...options }),
      (error) => {
        assert(error instanceof FixityError && error.code === "invalid-option", JSON.stringify(options));
        assert(error.message.startsWith(`${name} `), `${name}: ${error.message}`);
        assert(!error.message.includes("s3cret"));
        return true;
      },
      JSON.stringify(options),
    );
  }
});
