import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { retry, Retrier } from "./retry.ts";
import { S3Error, type S3Failure } from "./s3-error.ts";

const OVER = new Error("the wait has begun, and its length does not matter");
const failed = (failure: Partial<S3Failure> = {}): S3Error =>
  new S3Error({ operation: "PutObject", status: 503, ...failure });

/** Replaces Math.random: 0 means no wait, 1 the longest. */
function chance(context: TestContext): { value: number } {
  const chosen = { value: 0 };
  context.mock.method(Math, "random", () => chosen.value);
  return chosen;
}

/** Whether there would be another attempt within `time` milliseconds. Does not wait for it. */
async function isRetried(time: number, failure: unknown): Promise<boolean> {
  try {
    return await new Retrier({ attempts: 9, time }, { signal: AbortSignal.abort(OVER) }).waitToRetry(failure);
  } catch (error) {
    assert.equal(error, OVER);
    return true;
  }
}

void describe("the wait before a retry", () => {
  test("a server whose Retry-After exceeds the remaining time is not asked again", async (context) => {
    chance(context);
    assert.equal(await isRetried(4_000, failed({ retryAfter: 5_000 })), false);
    assert.equal(await isRetried(9_000, failed({ retryAfter: 5_000 })), true);
  });

  test("a backoff ends with the time at the latest, for the last attempt", async (context) => {
    const random = chance(context);
    const retrier = new Retrier({ attempts: Infinity, time: 40 });
    random.value = 1e9;
    const begun = performance.now();
    assert.equal(await retrier.waitToRetry(failed()), true);
    // Timers may be a little early.
    assert(performance.now() - begun > 35);
    while (performance.now() - begun < 40) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await retrier.waitToRetry(failed()), false);
  });

  test("closing the client ends a wait, without another attempt", async (context) => {
    chance(context).value = 1;
    const closing = new AbortController();
    const retrier = new Retrier({ attempts: 9, time: 1e9 }, { closed: closing.signal });
    const pause = retrier.waitToRetry(failed({ retryAfter: 1e8 }));
    closing.abort();
    assert.equal(await pause, false);
    assert.equal(await retrier.waitToRetry(failed()), false);
  });

  test("the time counts from the beginning of a long-running request, and from the first failure of others", async (context) => {
    chance(context);
    const limits = { attempts: 9, time: 30 };
    const [long, short] = [new Retrier(limits, { isLongRunning: true }), new Retrier(limits)];
    const begun = performance.now();
    while (performance.now() - begun < 31) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([await long.waitToRetry(failed()), await short.waitToRetry(failed())], [false, true]);
  });

  test("an aborted signal ends a wait with its own reason", async (context) => {
    chance(context).value = 1;
    const leaving = new AbortController();
    const reason = new Error("the client is gone");
    const retrier = new Retrier({ attempts: 9, time: 1e9 }, { signal: leaving.signal });
    const pause = retrier.waitToRetry(failed({ retryAfter: 1e8 }));
    leaving.abort(reason);
    await assert.rejects(pause, (error) => error === reason);
  });
});

void describe("retries", () => {
  const LIMITS = { attempts: 4, time: 60_000 };

  async function timesTried(failure: unknown, limits = LIMITS): Promise<number> {
    let times = 0;
    const work = retry(limits, {}, async () => {
      times += 1;
      throw failure;
    });
    await assert.rejects(work, (error) => error === failure, "the last failure is thrown as it is");
    return times;
  }

  test("a transient failure is retried as often as allowed", async (context) => {
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

  test("neither a refusal nor an error other than S3's is retried", async () => {
    for (const failure of [
      ...[301, 307, 400, 403, 404, 405, 409, 411, 412, 413, 416, 501, 505, 507].map((status) => failed({ status })),
      failed({ status: 403, code: "AccessDenied" }),
      new TypeError("a defect"),
    ]) {
      assert.equal(await timesTried(failure), 1, failure.message);
    }
  });

  test("time ends the retries, not the number of failures in quick succession", async (context) => {
    chance(context);
    const times = await timesTried(failed({ status: null }), { attempts: Infinity, time: 1_000 });
    assert(times > 5, `${times}`);
  });

  test("a conflict and missing credentials, which pass quickly or never, are tried five times", async (context) => {
    chance(context);
    const limits = { attempts: Infinity, time: 60_000 };
    assert.equal(await timesTried(failed({ status: 409, code: "ConditionalRequestConflict" }), limits), 5);
    assert.equal(await timesTried(failed({ status: null, code: "NoCredentials" }), limits), 5);
  });

  test("onRetry receives the failure before each retry", async (context) => {
    chance(context);
    const failures: S3Error[] = [];
    const [first, second] = [failed(), failed({ status: null })];
    const left = [first, second];
    const work = async () => {
      const failure = left.shift();
      if (failure !== undefined) throw failure;
    };
    await retry(LIMITS, { onRetry: (failure) => failures.push(failure) }, work);
    assert.deepEqual(failures, [first, second]);
  });

  test("no attempt begins after the time", async (context) => {
    chance(context);
    assert.equal(await timesTried(failed(), { attempts: 1_000, time: 0 }), 1);
    assert.equal(await timesTried(failed({ retryAfter: 3_600_000 })), 1);
  });

  test("no attempt begins after an abort", async () => {
    const leaving = new AbortController();
    let times = 0;
    const work = retry(LIMITS, { signal: leaving.signal }, async () => {
      times += 1;
      leaving.abort(OVER);
      throw failed();
    });
    await assert.rejects(work, (error) => error === OVER);
    assert.equal(times, 1);
    await assert.rejects(
      retry(LIMITS, { signal: leaving.signal }, async () => assert.fail("begun")),
      (error) => error === OVER,
    );
  });

  test("a success after failures is returned", async (context) => {
    chance(context);
    let times = 0;
    const work = async () => {
      times += 1;
      if (times < 4) throw failed();
      return "done";
    };
    assert.equal(await retry(LIMITS, {}, work), "done");
  });
});
