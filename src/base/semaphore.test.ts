import assert from "node:assert/strict";
import { test } from "node:test";
import { type Permit, Semaphore } from "./semaphore.ts";

const settle = (): Promise<void> => new Promise(setImmediate);

test("waiters are served in order: a small request does not overtake a large one", async () => {
  const semaphore = new Semaphore(10);
  const first = await semaphore.acquire(6);
  const served: string[] = [];
  const acquire = (name: string, count: number): Promise<Permit> =>
    semaphore.acquire(count).then((permit) => {
      served.push(name);
      return permit;
    });
  const large = acquire("large", 8);
  const small = acquire("small", 1);
  await settle();
  assert.deepEqual(served, [], "there would be enough for the small one");
  assert.equal(semaphore.waiting, 2);
  assert.equal(semaphore.canAcquire(1), false);
  first.release();
  await Promise.all([large, small]);
  assert.deepEqual(served, ["large", "small"]);
  assert.equal(semaphore.held, 9);
});

test("releasing a permit again has no effect", async () => {
  const semaphore = new Semaphore(10);
  const [one, other] = [await semaphore.acquire(4), await semaphore.acquire(6)];
  one.release();
  one.release();
  assert.equal(semaphore.held, 6);
  other.release();
  assert.equal(semaphore.held, 0);
  await semaphore.acquire(10);
});

test("an aborted waiter acquires nothing, and the waiters behind it move up", async () => {
  const semaphore = new Semaphore(10);
  const first = await semaphore.acquire(6);
  const leaving = new AbortController();
  const reason = new Error("the client is gone");
  const left = semaphore.acquire(8, leaving.signal);
  const behind = semaphore.acquire(4);
  leaving.abort(reason);
  await assert.rejects(left, (error) => error === reason);
  await behind;
  assert.equal(semaphore.held, 10);
  assert.equal(semaphore.waiting, 0);
  first.release();
  assert.equal(semaphore.held, 4);
});

test("an abort at the same time as the permit, or after it, releases nothing twice", async () => {
  const semaphore = new Semaphore(10);
  const first = await semaphore.acquire(10);
  const leaving = new AbortController();
  const waiting = semaphore.acquire(10, leaving.signal);
  first.release();
  leaving.abort(new Error("too late"));
  const permit = await waiting;
  assert.equal(semaphore.held, 10);
  permit.release();
  assert.equal(semaphore.held, 0);
  await assert.rejects(semaphore.acquire(1, leaving.signal), /too late/);
  assert.equal(semaphore.held, 0);
});

test("after any order of acquiring, aborting and releasing, all permits are free again", async () => {
  const semaphore = new Semaphore(100);
  let most = 0;
  const work = async (n: number): Promise<void> => {
    const leaving = new AbortController();
    if (n % 3 === 0) setImmediate(() => leaving.abort(new Error("left")));
    const permit = await semaphore.acquire(1 + ((n * 37) % 100), leaving.signal).catch(() => null);
    most = Math.max(most, semaphore.held);
    if (n % 2 === 0) await settle();
    permit?.release();
  };
  await Promise.all(Array.from({ length: 500 }, (_, n) => work(n)));
  assert(most <= 100 && most > 50, String(most));
  assert.equal(semaphore.held, 0);
  assert.equal(semaphore.waiting, 0);
});

test("run holds one permit until its work has ended, even if that fails", async () => {
  const semaphore = new Semaphore(1);
  let running = 0;
  const work = async (fails: boolean): Promise<void> => {
    running += 1;
    assert.equal(running, 1);
    await settle();
    running -= 1;
    if (fails) throw new Error("failed");
  };
  const ended = await Promise.allSettled([true, false, true, false].map((fails) => semaphore.run(() => work(fails))));
  assert.deepEqual(
    ended.map(({ status }) => status),
    ["rejected", "fulfilled", "rejected", "fulfilled"],
  );
  assert.equal(semaphore.held, 0);
});
