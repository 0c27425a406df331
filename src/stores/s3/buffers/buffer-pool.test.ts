import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FixityError } from "../../../core/errors.ts";
import { type Seat, SEAT, UploadMemory } from "./buffer-pool.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const WINDOW = 5_000;
const LIMITS = { budget: 4 * MIB, queue: 2, minRate: KIB, window: WINDOW };
/** Of the three quarters that are for parts. */
const PART = 1.5 * MIB;

const settle = (): Promise<void> => new Promise(setImmediate);

const indexes = (ended: readonly Seat[], seats: readonly Seat[]): readonly number[] =>
  ended.map((seat) => seats.indexOf(seat));

/** A memory whose clock the test turns. */
function memory(context: TestContext, limits: Partial<typeof LIMITS> = {}) {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const shared = new UploadMemory({ ...LIMITS, ...limits });
  const ended: Seat[] = [];
  const admit = async (length?: number): Promise<Seat> => {
    const seat = await shared.admit(length, undefined);
    seat.onEnd = () => {
      ended.push(seat);
      seat.leave();
    };
    return seat;
  };
  /** A sender whose part is being filled. */
  const filling = async () => {
    const seat = await admit();
    const loan = await seat.takePart(PART, undefined);
    seat.holdsPart = true;
    return { seat, loan };
  };
  return { shared, ended, admit, filling, window: () => context.mock.timers.tick(WINDOW) };
}

test("small uploads take what they announced, others a seat; all of it comes back", async () => {
  const shared = new UploadMemory(LIMITS);
  const seats = [
    await shared.admit(10, undefined),
    await shared.admit(0, undefined),
    await shared.admit(undefined, undefined),
  ];
  assert.equal(shared.lent, 10 + SEAT);
  for (const seat of seats) seat.leave();
  for (const seat of seats) seat.leave();
  assert.equal(shared.lent, 0);
});

test("small uploads need not wait for parts that are held", async () => {
  const shared = new UploadMemory(LIMITS);
  const holders = [await shared.admit(undefined, undefined), await shared.admit(undefined, undefined)];
  for (const seat of holders) await seat.takePart(shared.largestPart, undefined);
  const third = await shared.admit(undefined, undefined);
  const waiting = third.takePart(PART, undefined);
  await shared.admit(4 * KIB, undefined);
  assert.equal(await Promise.race([waiting, settle().then(() => "waits")]), "waits");
});

test("when all seats are taken some may wait, and the next is told to come again", async () => {
  const shared = new UploadMemory(LIMITS);
  const seats = await Promise.all(Array.from({ length: MIB / SEAT }, () => shared.admit(undefined, undefined)));
  const leaving = new AbortController();
  const waiting = shared.admit(undefined, undefined);
  const left = shared.admit(undefined, leaving.signal);
  await assert.rejects(
    shared.admit(1, undefined),
    (error) => error instanceof FixityError && error.code === "store-busy",
  );
  leaving.abort(new Error("left"));
  await assert.rejects(left, /left/);
  seats[0]?.leave();
  await waiting;
});

test("a slow sender is left alone while nobody waits", async (context) => {
  const { ended, filling, window } = memory(context);
  await filling();
  for (let n = 0; n < 10; n += 1) window();
  assert.equal(ended.length, 0);
});

test("while somebody waits for a part, the slowest of those who hold one is ended, one in each window", async (context) => {
  const { shared, ended, admit, filling, window } = memory(context);
  const slow = await filling();
  const slower = await filling();
  await admit();
  const waiter = await admit();
  const waiting = waiter.takePart(PART, undefined);
  slow.seat.receive(2 * KIB);
  slower.seat.receive(KIB);
  window();
  assert.deepEqual(indexes(ended, [slow.seat, slower.seat]), [1], "of both, and of one who holds no part");
  slower.loan.end();
  await waiting;
  assert.equal(shared.lent, 2 * PART + 3 * SEAT);
  window();
  assert.equal(ended.length, 1, "nobody waits any more");
});

test("who sends fast enough, or is waited upon by nobody but us, is not ended", async (context) => {
  const { ended, admit, filling, window } = memory(context);
  const fast = await filling();
  const held = await filling();
  const waiter = await admit();
  waiter.busy = true;
  const leaving = new AbortController();
  const waiting = waiter.takePart(PART, leaving.signal);
  for (let n = 0; n < 5; n += 1) {
    fast.seat.receive((LIMITS.minRate * WINDOW) / 1000);
    // S3 takes its part, or our side is busy otherwise, for some of this window.
    held.seat.busy = n % 2 === 0;
    window();
  }
  assert.equal(ended.length, 0);
  leaving.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
});

test("while somebody waits for a seat, the slowest of all is ended", async (context) => {
  const { ended, admit, window } = memory(context, { budget: 8 * SEAT });
  const [first, second] = [await admit(), await admit()];
  const waiting = admit();
  first.receive(100_000);
  second.receive(10);
  window();
  assert.deepEqual(indexes(ended, [first, second]), [1]);
  await waiting;
});
