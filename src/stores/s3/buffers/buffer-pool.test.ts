import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FixityError } from "../../../core/errors.ts";
import { type Admission, ADMISSION_BYTES, BufferPool } from "./buffer-pool.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const WINDOW_MS = 5_000;
const LIMITS = { budget: 4 * MIB, queue: 2, minRate: KIB, window: WINDOW_MS };
/** Two of these fill the three quarters of the budget that are for buffers. */
const BUFFER_BYTES = 1.5 * MIB;

const settle = (): Promise<void> => new Promise(setImmediate);

const isBusyError = (error: unknown): boolean => error instanceof FixityError && error.code === "store-busy";

const indexes = (dropped: readonly Admission[], admissions: readonly Admission[]): readonly number[] =>
  dropped.map((admission) => admissions.indexOf(admission));

/** A pool whose windows end when the test says so. */
function manualPool(context: TestContext, limits: Partial<typeof LIMITS> = {}) {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const pool = new BufferPool({ ...LIMITS, ...limits });
  const dropped: Admission[] = [];
  const admit = async (length?: number): Promise<Admission> => {
    const admission = await pool.admit(length, undefined);
    admission.onTooSlow = () => {
      dropped.push(admission);
      admission.release();
    };
    return admission;
  };
  /** An upload whose buffer is being filled. */
  const filling = async () => {
    const admission = await admit();
    const buffer = await admission.acquireBuffer(BUFFER_BYTES, undefined);
    admission.holdsBuffer = true;
    return { admission, buffer };
  };
  return { pool, dropped, admit, filling, endWindow: () => context.mock.timers.tick(WINDOW_MS) };
}

test("an admission takes the announced length at most, and all of it is released once", async () => {
  const pool = new BufferPool(LIMITS);
  const admissions = [
    await pool.admit(10, undefined),
    await pool.admit(0, undefined),
    await pool.admit(undefined, undefined),
  ];
  assert.equal(pool.used, 10 + ADMISSION_BYTES);
  for (const admission of admissions) admission.release();
  for (const admission of admissions) admission.release();
  assert.equal(pool.used, 0);
});

test("a small upload is admitted while all buffers are held", async () => {
  const pool = new BufferPool(LIMITS);
  const holders = [await pool.admit(undefined, undefined), await pool.admit(undefined, undefined)];
  for (const admission of holders) await admission.acquireBuffer(pool.maxBufferBytes, undefined);
  const third = await pool.admit(undefined, undefined);
  const waiting = third.acquireBuffer(BUFFER_BYTES, undefined);
  await pool.admit(4 * KIB, undefined);
  assert.equal(await Promise.race([waiting, settle().then(() => "waits")]), "waits");
});

test("as many uploads as the queue allows wait for admission, and the next one is refused", async () => {
  const pool = new BufferPool(LIMITS);
  const count = MIB / ADMISSION_BYTES;
  const admissions = await Promise.all(Array.from({ length: count }, () => pool.admit(undefined, undefined)));
  const leaving = new AbortController();
  const waiting = pool.admit(undefined, undefined);
  const left = pool.admit(undefined, leaving.signal);
  await assert.rejects(pool.admit(1, undefined), isBusyError);
  leaving.abort(new Error("left"));
  await assert.rejects(left, /left/);
  admissions[0]?.release();
  await waiting;
});

test("without a queue, an upload is refused as soon as it would have to wait, and admitted otherwise", async () => {
  const pool = new BufferPool({ ...LIMITS, budget: 8 * ADMISSION_BYTES, queue: 0 });
  const first = await pool.admit(undefined, undefined);
  const second = await pool.admit(undefined, undefined);
  await assert.rejects(pool.admit(1, undefined), isBusyError);
  assert.equal(pool.used, 2 * ADMISSION_BYTES, "a refusal takes nothing");
  first.release();
  await pool.admit(ADMISSION_BYTES, undefined);
  second.release();
});

test("a slow sender is not dropped while no upload waits", async (context) => {
  const { dropped, filling, endWindow } = manualPool(context);
  await filling();
  for (let n = 0; n < 10; n += 1) endWindow();
  assert.equal(dropped.length, 0);
});

test("while an upload waits for a buffer, each window drops the slowest sender that holds one", async (context) => {
  const { pool, dropped, admit, filling, endWindow } = manualPool(context);
  const slow = await filling();
  const slower = await filling();
  await admit();
  const waiter = await admit();
  const waiting = waiter.acquireBuffer(BUFFER_BYTES, undefined);
  slow.admission.countReceived(2 * KIB);
  slower.admission.countReceived(KIB);
  endWindow();
  assert.deepEqual(indexes(dropped, [slow.admission, slower.admission]), [1], "not the silent one without a buffer");
  slower.buffer.release();
  await waiting;
  assert.equal(pool.used, 2 * BUFFER_BYTES + 3 * ADMISSION_BYTES);
  endWindow();
  assert.equal(dropped.length, 1, "no upload waits any more");
});

test("a sender that is fast enough, or that the store keeps waiting, is not dropped", async (context) => {
  const { dropped, admit, filling, endWindow } = manualPool(context);
  const fast = await filling();
  const held = await filling();
  const waiter = await admit();
  waiter.busy = true;
  const leaving = new AbortController();
  const waiting = waiter.acquireBuffer(BUFFER_BYTES, leaving.signal);
  for (let n = 0; n < 5; n += 1) {
    fast.admission.countReceived((LIMITS.minRate * WINDOW_MS) / 1000);
    // The store is busy for part of this window, as while S3 takes the part.
    held.admission.busy = n % 2 === 0;
    endWindow();
  }
  assert.equal(dropped.length, 0);
  leaving.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
});

test("while an upload waits for admission, the slowest sender of all is dropped", async (context) => {
  const { dropped, admit, endWindow } = manualPool(context, { budget: 8 * ADMISSION_BYTES });
  const [first, second] = [await admit(), await admit()];
  const waiting = admit();
  first.countReceived(100_000);
  second.countReceived(10);
  endWindow();
  assert.deepEqual(indexes(dropped, [first, second]), [1]);
  await waiting;
});
