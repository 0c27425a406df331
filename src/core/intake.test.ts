import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "./digest.ts";
import { receive } from "./intake.ts";

const abc = Buffer.from("abc");
const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("what comes in is counted, hashed and handed on unchanged", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 })), async (chunks) => {
      const out: Uint8Array[] = [];
      const { digest, size } = await receive(chunks, (bytes) => void out.push(bytes), { maxSize: Infinity });
      const whole = Buffer.concat(chunks);
      assert.deepEqual(Buffer.concat(out), whole);
      assert.equal(size, whole.length);
      assert.equal(digest.hex, digestOf(whole));
    }),
  );
});

test("the next bytes are asked for only when the sink has taken the last", async () => {
  const events: string[] = [];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (const name of ["a", "b"]) {
      events.push(`ask ${name}`);
      yield Buffer.from(name);
    }
  }
  await receive(
    source(),
    async (bytes) => {
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`took ${String(bytes)}`);
    },
    { maxSize: 10 },
  );
  assert.deepEqual(events, ["ask a", "took a", "ask b", "took b"]);
});

test("one byte over the limit is refused, and never handed on", async () => {
  let taken = 0;
  const sink = (bytes: Uint8Array): void => void (taken += bytes.length);
  await receive([abc], sink, { maxSize: 3 });
  await assert.rejects(receive([abc, Buffer.from("d")], sink, { maxSize: 3 }), {
    code: "size-limit-exceeded",
    facts: { limit: 3 },
  });
  assert.equal(taken, 6);
});

test("an announced length over the limit is refused before the first byte is asked for", async () => {
  let asked = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    asked = true;
    yield abc;
  }
  await assert.rejects(
    receive(source(), () => {}, { maxSize: 2, length: 3 }),
    { code: "size-limit-exceeded" },
  );
  assert.equal(asked, false);
});

test("fewer or more bytes than announced are refused", async () => {
  for (const length of [2, 4]) {
    await assert.rejects(
      receive([abc], () => {}, { maxSize: 10, length }),
      { code: "length-mismatch" },
    );
  }
});

test("bytes other than the digest names are refused", async () => {
  const digest = Digest.parse(digestOf(abc));
  await receive([abc], () => {}, { maxSize: 10, digest });
  await assert.rejects(
    receive([Buffer.from("abd")], () => {}, { maxSize: 10, digest }),
    { code: "digest-mismatch" },
  );
});

test("the source is closed when the sink fails", async () => {
  let closed = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield abc;
    } finally {
      closed = true;
    }
  }
  const full = new Error("full");
  await assert.rejects(
    receive(
      source(),
      () => {
        throw full;
      },
      { maxSize: 10 },
    ),
    full,
  );
  assert.equal(closed, true);
});
