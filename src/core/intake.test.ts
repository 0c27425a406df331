import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { digestOf, HashedSource, Hashes, Intake, receive } from "./intake.ts";

const abc = Buffer.from("abc");
const digestOfBytes = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("content is counted, hashed and passed on unchanged", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 })), async (chunks) => {
      const out: Uint8Array[] = [];
      const { digest, size } = await receive(chunks, (bytes) => void out.push(bytes), { maxSize: Infinity });
      const whole = Buffer.concat(chunks);
      assert.deepEqual(Buffer.concat(out), whole);
      assert.equal(size, whole.length);
      assert.equal(digest.hex, digestOfBytes(whole));
    }),
  );
});

test("a chunk is pulled only after the sink has accepted the previous one", async () => {
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

test("one byte over the limit is refused and does not reach the sink", async () => {
  let taken = 0;
  const sink = (bytes: Uint8Array): void => void (taken += bytes.length);
  await receive([abc], sink, { maxSize: 3 });
  await assert.rejects(receive([abc, Buffer.from("d")], sink, { maxSize: 3 }), {
    code: "size-limit-exceeded",
    facts: { limit: 3 },
  });
  assert.equal(taken, 6);
});

test("an announced length over the limit is refused before the first byte is pulled", async () => {
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

test("bytes without the announced digest are refused", async () => {
  const digest = Digest.parse(digestOfBytes(abc));
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

test("limits of an intake count the bytes before it, and a chunk past one is not hashed", () => {
  const hashes = Hashes.native(["sha256"]);
  hashes.update(abc);
  const exceeded = (reached: number): FixityError => new FixityError("length-mismatch", `${reached}`);
  const intake = new Intake(hashes, [
    { end: 6, exceeded },
    { end: Infinity, exceeded },
  ]);
  intake.update(abc);
  assert.throws(() => intake.update(abc), { code: "length-mismatch", message: "9" });
  assert.equal(hashes.size, 6);
  assert.equal(hashes.sha256().hex, digestOfBytes(Buffer.from("abcabc")));
});

test("hashes continue from saved states, whatever the split", async () => {
  const algorithms = ["sha256", "sha512"] as const;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), async (chunks) => {
      let [states, size]: [Record<string, string>, number] = [{}, 0];
      for (const chunk of chunks) {
        const hashes = await Hashes.resumable(algorithms, states, size);
        hashes.update(chunk);
        [states, size] = [hashes.states() ?? assert.fail("no states"), hashes.size];
      }
      const whole = Buffer.concat(chunks);
      const last = await Hashes.resumable(algorithms, states, size);
      assert.equal(last.size, whole.length);
      for (const name of algorithms) {
        assert.deepEqual(last.digest(name), createHash(name).update(whole).digest());
        assert.deepEqual(last.digest(name), last.digest(name), "a digest does not end the hash");
      }
    }),
    { numRuns: 20 },
  );
});

test("native hashes have no state", () => {
  assert.equal(Hashes.native(["sha256"]).states(), null);
});

test("content is hashed by every requested algorithm while it is read", async () => {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("1234");
    yield Buffer.from("56789");
  }
  const hashed = new HashedSource(source(), ["sha1", "crc32", "sha512"]);
  const text = Buffer.concat(await Array.fromAsync(hashed));
  assert.equal(text.toString(), "123456789");
  // the check value of CRC-32/ISO-HDLC
  assert.equal(hashed.digest("crc32")?.toString("hex"), "cbf43926");
  for (const name of ["sha1", "sha512"] as const) {
    assert.deepEqual(hashed.digest(name), createHash(name).update(text).digest());
  }
  assert.equal(hashed.digest("sha256"), null);
});

test("the digest of a source has no limits", async () => {
  const { digest, size } = await digestOf([abc, abc]);
  assert.deepEqual([digest.hex, size], [digestOfBytes(Buffer.from("abcabc")), 6]);
});
