import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Attempts, retrying } from "./retry.ts";
import { S3Error, type S3Failure } from "./s3-error.ts";

const OVER = new Error("the pause has begun, and is of no more interest");
const failed = (failure: Partial<S3Failure> = {}): S3Error =>
  new S3Error({ operation: "PutObject", status: 503, ...failure });

/** Chance is what the test says: 0 for no pause at all, 1 for the longest. */
function chance(context: TestContext): { value: number } {
  const chosen = { value: 0 };
  context.mock.method(Math, "random", () => chosen.value);
  return chosen;
}

/** Whether there is another attempt within so many milliseconds. Its pause is not waited for. */
async function isTriedAgain(time: number, failure: unknown): Promise<boolean> {
  try {
    return await new Attempts({ attempts: 9, time }, { signal: AbortSignal.abort(OVER) }).another(failure);
  } catch (error) {
    assert.equal(error, OVER);
    return true;
  }
}

void describe("pauses", () => {
  test("a server that asks for a longer pause than there is time is not asked again", async (context) => {
    chance(context);
    assert.equal(await isTriedAgain(4_000, failed({ retryAfter: 5_000 })), false);
    assert.equal(await isTriedAgain(9_000, failed({ retryAfter: 5_000 })), true);
  });

  test("a pause of ours never goes beyond the time: the last attempt is made at its end", async (context) => {
    const random = chance(context);
    const attempts = new Attempts({ attempts: Infinity, time: 40 });
    random.value = 1e9;
    const begun = performance.now();
    assert.equal(await attempts.another(failed()), true);
    // Timers may be a little early.
    assert(performance.now() - begun > 35);
    while (performance.now() - begun < 40) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await attempts.another(failed()), false);
  });

  test("a pause ends when the client is closed, and there is no other attempt", async (context) => {
    chance(context).value = 1;
    const closing = new AbortController();
    const attempts = new Attempts({ attempts: 9, time: 1e9 }, { closed: closing.signal });
    const pause = attempts.another(failed({ retryAfter: 1e8 }));
    closing.abort();
    assert.equal(await pause, false);
    assert.equal(await attempts.another(failed()), false);
  });

  test("the time of a long request counts from its beginning, that of others from their first failure", async (context) => {
    chance(context);
    const limits = { attempts: 9, time: 30 };
    const [long, short] = [new Attempts(limits, { isLong: true }), new Attempts(limits)];
    const begun = performance.now();
    while (performance.now() - begun < 31) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([await long.another(failed()), await short.another(failed())], [false, true]);
  });

  test("a pause ends when the signal is aborted, with the signal's own reason", async (context) => {
    chance(context).value = 1;
    const leaving = new AbortController();
    const reason = new Error("the client is gone");
    const attempts = new Attempts({ attempts: 9, time: 1e9 }, { signal: leaving.signal });
    const pause = attempts.another(failed({ retryAfter: 1e8 }));
    leaving.abort(reason);
    await assert.rejects(pause, (error) => error === reason);
  });
});

void describe("repetitions", () => {
  const LIMITS = { attempts: 4, time: 60_000 };

  async function timesTried(failure: unknown, limits = LIMITS): Promise<number> {
    let times = 0;
    const work = retrying(limits, {}, async () => {
      times += 1;
      throw failure;
    });
    await assert.rejects(work, (error) => error === failure, "the last failure is told as it is");
    return times;
  }

  test("what may pass is tried as often as allowed", async (context) => {
    chance(context);
    for (const failure of [
      failed({ status: null, cause: new Error("socket hang up") }),
      failed({ status: null, code: "NoCredentials", cause: new Error("the metadata service is slow") }),
      failed({ status: 200, code: "InternalError" }),
      failed({ status: 200 }),
      ...[408, 429, 500, 502, 503, 504, 509, 520, 524, 599].map((status) => failed({ status })),
      ...["RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict"].map((code) =>
        failed({ status: 400, code }),
      ),
    ]) {
      assert.equal(await timesTried(failure), 4, failure.message);
      assert.equal(await timesTried(failure, { ...LIMITS, attempts: 1 }), 1);
    }
  });

  test("what was refused is not tried again, nor what is no failure of S3", async () => {
    for (const failure of [
      ...[301, 307, 400, 403, 404, 405, 409, 411, 412, 413, 416, 501, 505, 507].map((status) => failed({ status })),
      failed({ status: 403, code: "AccessDenied" }),
      new TypeError("a mistake"),
    ]) {
      assert.equal(await timesTried(failure), 1, failure.message);
    }
  });

  test("no number of refusals in quick succession ends the attempts, but the time does", async (context) => {
    chance(context);
    const times = await timesTried(failed({ status: null }), { attempts: Infinity, time: 30 });
    assert(times > 5, `${times}`);
  });

  test("what passes quickly or not at all is tried five times: a conflict, or keys that are not there", async (context) => {
    chance(context);
    const limits = { attempts: Infinity, time: 60_000 };
    assert.equal(await timesTried(failed({ status: 409, code: "ConditionalRequestConflict" }), limits), 5);
    assert.equal(await timesTried(failed({ status: null, code: "NoCredentials" }), limits), 5);
  });

  test("each repetition is announced with the failure before it", async (context) => {
    chance(context);
    const failures: S3Error[] = [];
    const [first, second] = [failed(), failed({ status: null })];
    const left = [first, second];
    const work = async () => {
      const failure = left.shift();
      if (failure !== undefined) throw failure;
    };
    await retrying(LIMITS, { onRetry: (failure) => failures.push(failure) }, work);
    assert.deepEqual(failures, [first, second]);
  });

  test("no attempt is begun behind the time", async (context) => {
    chance(context);
    assert.equal(await timesTried(failed(), { attempts: 1_000, time: 0 }), 1);
    assert.equal(await timesTried(failed({ retryAfter: 3_600_000 })), 1);
  });

  test("no attempt is begun after an abort", async () => {
    const leaving = new AbortController();
    let times = 0;
    const work = retrying(LIMITS, { signal: leaving.signal }, async () => {
      times += 1;
      leaving.abort(OVER);
      throw failed();
    });
    await assert.rejects(work, (error) => error === OVER);
    assert.equal(times, 1);
    await assert.rejects(
      retrying(LIMITS, { signal: leaving.signal }, async () => assert.fail("begun")),
      (error) => error === OVER,
    );
  });

  test("what succeeds after failures is given back", async (context) => {
    chance(context);
    let times = 0;
    const work = async () => {
      times += 1;
      if (times < 4) throw failed();
      return "done";
    };
    assert.equal(await retrying(LIMITS, {}, work), "done");
  });
});
