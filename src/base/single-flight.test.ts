import assert from "node:assert/strict";
import { test } from "node:test";
import { SingleFlight } from "./single-flight.ts";

test("concurrent callers with the same key share one run, and other keys have their own", async () => {
  const flights = new SingleFlight<number>();
  let runs = 0;
  const done = Promise.withResolvers<number>();
  const work = (): Promise<number> => {
    runs += 1;
    return done.promise;
  };
  const results = [flights.run("a", work), flights.run("a", work), flights.run("b", work)];
  assert(flights.has("a"));
  done.resolve(7);
  assert.deepEqual(await Promise.all(results), [7, 7, 7]);
  assert.equal(runs, 2);
  assert(!flights.has("a"));
});

test("a failure rejects all waiting callers, and the next call starts the work again", async () => {
  const flights = new SingleFlight<number>();
  const failure = new Error("no");
  const fail = (): Promise<number> => Promise.reject(failure);
  const results = await Promise.allSettled([flights.run("a", fail), flights.run("a", fail)]);
  assert.deepEqual(
    results.map((result) => result.status === "rejected" && result.reason === failure),
    [true, true],
  );
  assert.equal(await flights.run("a", () => Promise.resolve(1)), 1);
});

test("a caller may leave without ending the work for the others", async () => {
  const flights = new SingleFlight<number>();
  const done = Promise.withResolvers<number>();
  const leaving = new AbortController();
  const [first, second] = [flights.run("a", () => done.promise, leaving.signal), flights.run("a", () => done.promise)];
  const reason = new Error("gone");
  leaving.abort(reason);
  await assert.rejects(first, reason);
  done.resolve(7);
  assert.equal(await second, 7);
});

test("work without waiting callers is aborted, and a later caller starts it again", async () => {
  const flights = new SingleFlight<number>();
  let abandoned: AbortSignal | null = null;
  const leaving = new AbortController();
  const first = flights.run(
    "a",
    (signal) => {
      abandoned = signal;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    },
    leaving.signal,
  );
  leaving.abort(new Error("gone"));
  await assert.rejects(first, { message: "gone" });
  assert.equal((abandoned as AbortSignal | null)?.aborted, true);
  assert.equal(await flights.run("a", () => Promise.resolve(1)), 1);
});
