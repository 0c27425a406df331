/** What is done to a store whose answers from S3 may come twice: every kind of request, each result looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { isFullRun } from "../helpers/full-run.ts";

import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";
import { RepeatingProxy } from "./repeating-proxy.ts";

const MIB = 1024 * 1024;

/** The hints of bytes whose digest and length are declared. */
export const announced = (bytes: Uint8Array): StageOptions => ({ digest: digestOf(bytes), length: bytes.length });

/** Stores bytes. */
export async function store(to: BlobStore, bytes: Uint8Array, hints: StageOptions): Promise<void> {
  await using staged = await to.stage(hints);
  await writeAll(staged, bytes);
  await staged.commit(digestOf(bytes));
}

/** What was acknowledged is there, and right. */
export async function assertStored(from: BlobStore, bytes: Uint8Array): Promise<void> {
  await using reader = await from.open(digestOf(bytes));
  assert(reader !== null && (await readAll(reader)).equals(bytes), `${bytes.length} bytes are there, and right`);
}

/** Stores two small blobs and a large one; reads and lists them, and removes them. Old answers from a round before look right. */
export async function everyKindOfRequest(subject: BlobStore, seed: number): Promise<void> {
  const of = (size: number) => Buffer.alloc(size, `${seed} ${size} `);
  const blobs = [
    { bytes: of(1_000), isDeclared: false },
    { bytes: of(1_001), isDeclared: true },
    { bytes: of(5 * MIB + 1_000), isDeclared: false },
    ...(isFullRun ? [{ bytes: of(5 * MIB + 2_000), isDeclared: true }] : []),
  ];
  const digests = blobs.map(({ bytes }) => digestOf(bytes));
  for (const { bytes, isDeclared } of blobs) await store(subject, bytes, isDeclared ? announced(bytes) : {});
  for (const { bytes } of blobs) {
    await assertStored(subject, bytes);
    assert.equal((await subject.stat(digestOf(bytes)))?.size, bytes.length);
  }
  const listed = new Set<string>();
  for await (const { digest } of subject.list()) listed.add(digest.hex);
  for (const { hex } of digests) assert(listed.has(hex), "a blob that is there is listed");
  const [first, ...others] = digests;
  assert(first !== undefined);
  for (const digest of [first, ...others]) {
    assert.equal(await subject.remove(digest), true);
    assert.equal(await subject.stat(digest), null, "what was removed is not there");
  }
}

/** That the ids of a real server's answers give away an old answer. All operations and orders: scripted-repetition.test.ts. */
export function repetitionSuite(gateway: Gateway): void {
  test("an answer that the server sent before is not believed, whichever request it follows", async () => {
    await using proxy = await RepeatingProxy.start(gateway.endpoint);
    await using place = new S3Place(gateway);
    const log: string[] = [];
    const options = { endpoint: proxy.endpoint, connections: 1, attempts: 8 };
    await using subject = place.store({ ...options, log: (message) => log.push(message) });
    await everyKindOfRequest(subject, 1);
    for (const [index, operation] of ["PutObject", "CompleteMultipartUpload", "GetObject", "DeleteObject"].entries()) {
      proxy.arm({ operation, old: "of the same kind", isForwarded: false, isEarly: false, times: 1 });
      await everyKindOfRequest(subject, 2 + index);
      assert.equal(proxy.repeated, 1, operation);
    }
    assert.equal(log.filter((line) => line.includes("came a second time")).length, 1, log.join("\n"));
    assert.equal(await place.leftovers(), 0);
  });
}
