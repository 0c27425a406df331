/** What an upload reports between a failed request and the next attempt. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  createClient,
  FixityClientError,
  type RetryOptions,
  type RetryWait,
  type UploadProgress,
} from "../../src/client/node.ts";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;
/** A wait that nothing but the test ends: days, unless the random part of it is tiny. */
const LONG = { minDelay: 1e9, maxDelay: 1e9 };

/** Records the reports of one upload; `waits` resolves with the first wait. */
function recorded() {
  const reports: UploadProgress[] = [];
  const { promise: waits, resolve } = Promise.withResolvers<RetryWait>();
  const onProgress = (progress: UploadProgress): void => {
    reports.push(progress);
    if (progress.wait !== null) resolve(progress.wait);
  };
  return { reports, waits, onProgress };
}

/** A `fetch` whose first request gets a response, or fails. */
function failingOnce(failure: Response | Error): typeof fetch {
  let hasFailed = false;
  return async (url, init) => {
    if (hasFailed) return fetch(url, init);
    hasFailed = true;
    if (failure instanceof Error) throw failure;
    return failure;
  };
}

const cases: readonly [name: string, failure: Response | Error, reason: string][] = [
  ["no response", new TypeError("fetch failed"), "unreachable"],
  ["502 of a proxy", new Response("", { status: 502 }), "unreachable"],
  ["504 of a proxy", new Response("", { status: 504 }), "unreachable"],
  ["503", new Response("", { status: 503 }), "busy"],
  ["503 with Retry-After", new Response("", { status: 503, headers: { "Retry-After": "1" } }), "busy"],
  ["423 with Retry-After", new Response("", { status: 423, headers: { "Retry-After": "0" } }), "busy"],
  ["429", new Response("", { status: 429 }), "rate-limited"],
  ["500", new Response("", { status: 500 }), "failed"],
];
for (const [name, failure, reason] of cases) {
  test(`after ${name} an upload waits, because of: ${reason}`, async () => {
    await using service = await Service.start();
    const { reports, waits, onProgress } = recorded();
    const retry: RetryOptions = { minDelay: 1 };
    const client = createClient({ endpoint: `${service.url}/uploads`, retry, fetch: failingOnce(failure) });
    const began = Date.now();
    await client.upload(Buffer.from("a"), { onProgress });
    const wait = await waits;
    assert.equal(wait.reason, reason);
    assert.ok(wait.error instanceof FixityClientError);
    assert.equal(wait.error.status, failure instanceof Response ? failure.status : null);
    // the time includes what the server asked for
    assert.ok(wait.until !== null && wait.until >= began + (wait.error.retryAfter ?? 0), `${wait.until}`);
    const phases = reports.map(({ phase }) => phase);
    assert.match(phases[phases.indexOf("waiting") + 1] ?? "", /^(sending|storing)$/, phases.join());
    assert.ok(reports.every((report) => (report.phase === "waiting") === (report.wait !== null)));
  });
}

test("a waiting upload reports the bytes that were sent before, and no rate", async () => {
  await using service = await Service.start();
  await using proxy = await BreakingProxy.start(service.port, { up: 4 * MIB, times: 1 });
  const { reports, onProgress } = recorded();
  const client = createClient({ endpoint: `${proxy.url}/uploads`, retry: { minDelay: 1 } });
  const bytes = randomBytes(12 * MIB);
  assert.equal((await client.upload(bytes, { onProgress, declare: false })).digest, `sha256:${sha256(bytes)}`);
  const at = reports.findIndex(({ phase }) => phase === "waiting");
  const [before, waiting, after] = reports.slice(at - 1, at + 2);
  assert.ok(before?.phase === "sending" && waiting !== undefined && after?.phase === "sending");
  assert.ok(waiting.bytes >= before.bytes && waiting.bytes > 0, `${before.bytes}, ${waiting.bytes}`);
  assert.deepEqual([waiting.total, waiting.rate, waiting.remaining], [bytes.length, null, null]);
});

test("hashed bytes are not reported as sent while an upload waits", async () => {
  await using service = await Service.start();
  const { reports, onProgress } = recorded();
  const fetch = failingOnce(new Response("", { status: 503 }));
  const client = createClient({ endpoint: `${service.url}/uploads`, retry: { minDelay: 1 }, fetch });
  await client.upload(randomBytes(2 * MIB), { onProgress, declare: true });
  assert.equal(reports.find(({ phase }) => phase === "waiting")?.bytes, 0);
});

test("a pause ends a wait, and resuming begins the next attempt at once", async () => {
  await using service = await Service.start();
  const { reports, waits, onProgress } = recorded();
  const fetch = failingOnce(new Response("", { status: 503 }));
  const client = createClient({ endpoint: `${service.url}/uploads`, retry: LONG, fetch });
  const upload = client.start(Buffer.from("a"), { onProgress });
  await waits;
  upload.pause();
  await new Promise(setImmediate);
  assert.notEqual(reports.at(-1)?.phase, "waiting");
  upload.resume();
  assert.equal((await upload.done).digest, `sha256:${sha256("a")}`);
});

test("an upload that is cancelled while it waits ends at once, and reports nothing more", async () => {
  await using service = await Service.start();
  const { reports, waits, onProgress } = recorded();
  const fetch = failingOnce(new Response("", { status: 503, headers: { "Retry-After": "500" } }));
  const client = createClient({ endpoint: `${service.url}/uploads`, retry: LONG, fetch });
  const upload = client.start(Buffer.from("a"), { onProgress });
  const { until } = await waits;
  assert.ok(until !== null && until > Date.now() + 400_000);
  upload.abort();
  await assert.rejects(upload.done, { code: "aborted" });
  assert.equal(reports.at(-1)?.phase, "waiting");
});
