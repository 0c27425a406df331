import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreFolder } from "../../test/helpers/store-folder.ts";
import { diskStore } from "../disk.ts";
import { memoryStore } from "../memory.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import type { PurgeReason } from "./purges.ts";

const BYTES = Buffer.from("cached somewhere");
const OTHER = Digest.fromHex("cd".repeat(32)) ?? assert.fail();

/** The calls of a hook, as `<hex> <reason>`. */
class Purged {
  readonly calls: string[] = [];
  readonly onPurge = ({ hex }: Digest, reason: PurgeReason): void => void this.calls.push(`${hex} ${reason}`);

  /** Waits for calls that nothing else waits for. */
  async includes(call: string): Promise<void> {
    while (!this.calls.includes(call)) await nextTurn();
  }
}

/** Lets marks be listed again: they are at most once in ten seconds. */
function tenSecondsPass(t: TestContext): void {
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + 10_000);
}

test("a removal, a block and its end purge caches before they return", async () => {
  const { calls, onPurge } = new Purged();
  const fixity = createFixity({ store: memoryStore(), onPurge });
  const { digest } = await fixity.put(BYTES);
  assert.deepEqual(calls, [], "an upload changes nothing that caches have");
  assert.equal(await fixity.remove(digest), true);
  assert.equal(await fixity.remove(digest), false);
  await fixity.block(OTHER, { reason: "x" });
  await fixity.unblock(OTHER);
  await fixity.unblock(OTHER);
  const expected = [`${digest.hex} removed`, `${digest.hex} removed`, `${OTHER.hex} blocked`, `${OTHER.hex} unblocked`];
  assert.deepEqual(calls, expected, "a removal that was interrupted can be repeated");
});

test("every instance purges what it learns of, and what was blocked before its start", async (t) => {
  const store = memoryStore();
  const [one, other, later] = [new Purged(), new Purged(), new Purged()];
  const [first, second] = [one, other].map(({ onPurge }) => createFixity({ store, onPurge })) as [Fixity, Fixity];
  await second.isBlocked(OTHER);
  await first.block(OTHER, { reason: "x" });
  const third = createFixity({ store, onPurge: later.onPurge });
  assert.equal(await third.isBlocked(OTHER), true);
  await later.includes(`${OTHER.hex} blocked`);
  assert.deepEqual(other.calls, []);
  tenSecondsPass(t);
  assert.equal(await second.isBlocked(OTHER), true);
  await other.includes(`${OTHER.hex} blocked`);
  await first.unblock(OTHER);
  t.mock.restoreAll();
  assert.equal(await createFixity({ store }).isBlocked(OTHER), false);
});

test("the repair of a damaged file purges caches: ranges of it may have been sent", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none", log: () => null });
  const { calls, onPurge } = new Purged();
  const fixity = createFixity({ store, onPurge, log: () => null });
  const { digest } = await fixity.put(BYTES);
  await chmod(folder.blob(digest.hex), 0o644);
  await writeFile(folder.blob(digest.hex), "CACHED somewhere");
  await assert.rejects(fixity.open(digest), { code: "blob-damaged" });
  assert.deepEqual(calls, []);
  await fixity.put(BYTES);
  assert.deepEqual(calls, [`${digest.hex} repaired`]);
});

test("a hook that fails is logged, and fails nothing", async () => {
  for (const failure of [new Error("no"), new FixityError("store-unavailable", "no")]) {
    const logged: string[] = [];
    const onPurge = (): never => {
      throw failure;
    };
    const fixity = createFixity({ store: memoryStore(), onPurge, log: (message) => void logged.push(message) });
    const { digest } = await fixity.put(BYTES);
    assert.equal(await fixity.remove(digest), true);
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? "", /not purged of sha256:[0-9a-f]{64} \(removed\)/);
  }
});

test("a hook that does not return is waited for no longer than ten seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const logged: string[] = [];
  const called = Promise.withResolvers<void>();
  const onPurge = (): Promise<void> => {
    called.resolve();
    return new Promise(() => {});
  };
  const fixity = createFixity({ store: memoryStore(), onPurge, log: (message) => void logged.push(message) });
  const removed = fixity.remove(OTHER);
  await called.promise;
  await nextTurn();
  t.mock.timers.tick(10_000);
  assert.equal(await removed, false);
  assert.match(logged.join(), /takes more than 10 s/);
});
