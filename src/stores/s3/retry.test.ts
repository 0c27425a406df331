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

/** Whether the next pause fits into what is left of the time. It is not waited for. */
async function fits(attempts: Attempts, failure: unknown): Promise<boolean> {
  try {
    return await attempts.another(failure, AbortSignal.abort(OVER));
  } catch (error) {
    assert.equal(error, OVER);
    return true;
  }
}

/** After so many failures, whether a pause of chance 1 would be longer than `time`. */
async function isLonger(context: TestContext, failures: number, time: number): Promise<boolean> {
  const random = chance(context);
  const attempts = new Attempts({ attempts: 1_000, time });
  for (let n = 1; n < failures; n += 1) assert(await attempts.another(failed()));
  random.value = 1;
  return !(await fits(attempts, failed()));
}

void describe("pauses", () => {
  for (const [failures, longest] of [
    [1, 100],
    [2, 200],
    [3, 400],
    [7, 6_400],
    [8, 10_000],
    [50, 10_000],
  ] as const) {
    test(`the pause after ${failures} failures is anything up to ${longest} ms`, async (context) => {
      assert.equal(await isLonger(context, failures, longest - 1), true);
      assert.equal(await isLonger(context, failures, longest + 1_000), false);
    });
  }

  test("a pause that the server asks for is the least", async (context) => {
    chance(context);
    assert.equal(await fits(new Attempts({ attempts: 9, time: 4_000 }), failed({ retryAfter: 5_000 })), false);
    assert.equal(await fits(new Attempts({ attempts: 9, time: 9_000 }), failed({ retryAfter: 5_000 })), true);
  });

  test("a pause ends when the signal is aborted, with the signal's own reason", async (context) => {
    chance(context).value = 1;
    const leaving = new AbortController();
    const reason = new Error("the client is gone");
    const pause = new Attempts({ attempts: 9, time: 1e9 }).another(failed({ retryAfter: 1e8 }), leaving.signal);
    leaving.abort(reason);
    await assert.rejects(pause, (error) => error === reason);
  });
});

void describe("repetitions", () => {
  const LIMITS = { attempts: 4, time: 60_000 };

  async function timesTried(failure: unknown, limits = LIMITS): Promise<number> {
    let times = 0;
    const work = retrying(limits, undefined, async () => {
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

  test("no attempt is begun behind the time", async (context) => {
    chance(context);
    assert.equal(await timesTried(failed(), { attempts: 1_000, time: 0 }), 1);
    assert.equal(await timesTried(failed({ retryAfter: 3_600_000 })), 1);
  });

  test("no attempt is begun after an abort", async () => {
    const leaving = new AbortController();
    let times = 0;
    const work = retrying(LIMITS, leaving.signal, async () => {
      times += 1;
      leaving.abort(OVER);
      throw failed();
    });
    await assert.rejects(work, (error) => error === OVER);
    assert.equal(times, 1);
    await assert.rejects(
      retrying(LIMITS, leaving.signal, async () => assert.fail("begun")),
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
    assert.equal(await retrying(LIMITS, undefined, work), "done");
  });
});
