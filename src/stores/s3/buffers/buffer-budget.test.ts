import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../../core/errors.ts";
import { type Loan, MemoryBudget } from "./buffer-budget.ts";

/** Takes, and notes when it has got. */
function taking(budget: MemoryBudget, got: string[], { name, bytes }: { name: string; bytes: number }): Promise<Loan> {
  return budget.take(bytes).then((loan) => {
    got.push(name);
    return loan;
  });
}

const settle = (): Promise<void> => new Promise(setImmediate);

test("who waits is served in turn; nobody overtakes, however little he wants", async () => {
  const budget = new MemoryBudget({ bytes: 10, queue: 10 });
  const first = await budget.take(6);
  const got: string[] = [];
  const large = taking(budget, got, { name: "large", bytes: 8 });
  const small = taking(budget, got, { name: "small", bytes: 1 });
  await settle();
  assert.deepEqual(got, [], "there would be room for the small one");
  assert.equal(budget.waiting, 2);
  first.end();
  await Promise.all([large, small]);
  assert.deepEqual(got, ["large", "small"]);
  assert.equal(budget.lent, 9);
});

test("a loan comes back once, however often it is ended", async () => {
  const budget = new MemoryBudget({ bytes: 10, queue: 0 });
  const [one, other] = [await budget.take(4), await budget.take(6)];
  one.end();
  one.end();
  assert.equal(budget.lent, 6);
  other.end();
  assert.equal(budget.lent, 0);
  await budget.take(10);
});

test("one more than may wait is told to come again, and nobody else suffers", async () => {
  const budget = new MemoryBudget({ bytes: 10, queue: 2 });
  const first = await budget.take(10);
  const waiting = [budget.take(5), budget.take(5)];
  await assert.rejects(budget.take(1), (error) => error instanceof FixityError && error.code === "store-busy");
  first.end();
  await Promise.all(waiting);
  assert.equal(budget.lent, 10);
});

test("who leaves while he waits takes nothing, and those behind him move up", async () => {
  const budget = new MemoryBudget({ bytes: 10, queue: 10 });
  const first = await budget.take(6);
  const leaving = new AbortController();
  const reason = new Error("the client is gone");
  const left = budget.take(8, leaving.signal);
  const behind = budget.take(4);
  leaving.abort(reason);
  await assert.rejects(left, (error) => error === reason);
  await behind;
  assert.equal(budget.lent, 10);
  assert.equal(budget.waiting, 0);
  first.end();
  assert.equal(budget.lent, 4);
});

test("an abort that comes with the loan, or after it, gives nothing back twice", async () => {
  const budget = new MemoryBudget({ bytes: 10, queue: 10 });
  const first = await budget.take(10);
  const leaving = new AbortController();
  const waiting = budget.take(10, leaving.signal);
  first.end();
  leaving.abort(new Error("too late"));
  const loan = await waiting;
  assert.equal(budget.lent, 10);
  loan.end();
  assert.equal(budget.lent, 0);
  await assert.rejects(budget.take(1, leaving.signal), /too late/);
  assert.equal(budget.lent, 0);
});

test("after any order of taking, leaving and giving back, all is there again", async () => {
  const budget = new MemoryBudget({ bytes: 100, queue: 1_000 });
  let most = 0;
  const work = async (n: number) => {
    const leaving = new AbortController();
    if (n % 3 === 0) setImmediate(() => leaving.abort(new Error("left")));
    const loan = await budget.take(1 + ((n * 37) % 100), leaving.signal).catch(() => null);
    most = Math.max(most, budget.lent);
    if (n % 2 === 0) await settle();
    loan?.end();
  };
  await Promise.all(Array.from({ length: 500 }, (_, n) => work(n)));
  assert(most <= 100 && most > 50, String(most));
  assert.equal(budget.lent, 0);
  assert.equal(budget.waiting, 0);
});
