/** The client in Node when connections break, proxies refuse, servers die, and uploads are paused, stopped and resumed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  type ClientOptions,
  createClient,
  fileStorage,
  FixityClientError,
  type UploadProgress,
} from "../../src/client/node.ts";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { LimitingProxy } from "../helpers/limiting-proxy.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { holdingAppend } from "../helpers/held-append.ts";
import { stored } from "../helpers/stored.ts";
import { reaching } from "../helpers/reaching.ts";

const MIB = 1024 * 1024;
const RETRY = { minDelay: 1, maxDelay: 20, attempts: 50 };

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
});
after(() => rm(folder, { recursive: true, force: true }));

function serverOn(name: string, env: Record<string, string> = {}): Promise<ServerProcess> {
  return ServerProcess.start({ dir: join(folder, name), env });
}

function clientOf({ url }: { readonly url: string }, options: Partial<ClientOptions> = {}) {
  return createClient({ endpoint: `${url}/uploads`, retry: RETRY, ...options });
}

/** Records the requests, except the one that asks whether the content is stored. */
function recording(): { requests: string[]; fetch: typeof fetch } {
  const requests: string[] = [];
  return {
    requests,
    fetch: (url, init) => {
      const { "Upload-Offset": offset = "" } = { ...(init?.headers as Record<string, string>) };
      const isLink = /\/[0-9a-f]{64}\?stored$/.test(url as string);
      if (!isLink) requests.push(`${init?.method} ${offset}`.trim());
      return fetch(url, init);
    },
  };
}

const aborted = (error: unknown): boolean => error instanceof FixityClientError && error.code === "aborted";

for (const kind of ["a file", "a stream"]) {
  test(`an upload survives connections that break again and again: ${kind}`, async () => {
    await using server = await serverOn("breaking");
    await using proxy = await BreakingProxy.start(server.port, 700_000);
    const bytes = randomBytes(6 * MIB);
    const source = kind === "a file" ? bytes : new Blob([bytes]).stream();
    const result = await clientOf(proxy).upload(source, { declare: kind === "a file" });
    assert.equal(result.digest, `sha256:${sha256(bytes)}`);
    assert.equal(await stored(result.url.replace(proxy.url, server.url)), sha256(bytes));
    assert.ok(proxy.broken >= 4, `${proxy.broken}`);
    // bytes that had arrived were not sent again
    assert.ok(result.sent < 3 * bytes.length, `${result.sent}`);
  });
}

test("appends shrink until a proxy passes them", async () => {
  await using server = await serverOn("limited");
  await using proxy = await LimitingProxy.start({ port: server.port, limit: MIB });
  const bytes = randomBytes(20 * MIB);
  const { url, digest } = await clientOf(proxy).upload(bytes);
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.equal(await stored(url), sha256(bytes));
  assert.deepEqual(
    proxy.refused,
    [16, 8, 4, 2].map((size) => size * MIB),
  );
  assert.equal(Math.max(...proxy.passed), MIB);
});

test("a small file that a proxy refuses is sent in appends", async () => {
  await using server = await serverOn("limited-small");
  await using proxy = await LimitingProxy.start({ port: server.port, limit: 100_000 });
  const bytes = randomBytes(900_000);
  assert.equal((await clientOf(proxy).upload(bytes)).digest, `sha256:${sha256(bytes)}`);
});

test("a proxy that passes nothing is an error, not an endless loop", async () => {
  await using server = await serverOn("limited-all");
  await using proxy = await LimitingProxy.start({ port: server.port, limit: 1000 });
  await assert.rejects(clientOf(proxy).upload(randomBytes(2 * MIB)), (error: unknown) => {
    assert.ok(error instanceof FixityClientError);
    assert.equal(error.code, "unexpected-answer");
    assert.equal(error.status, 413);
    return true;
  });
  assert.ok(Math.min(...proxy.refused) >= 32 * 1024);
});

test("appends fit the server's limits", async () => {
  await using server = await serverOn("append-limits", {
    UPLOAD_MAX_APPEND_SIZE: "1MiB",
    UPLOAD_MIN_APPEND_SIZE: "128KiB",
  });
  const { requests, fetch } = recording();
  const bytes = randomBytes(3 * MIB + 1000);
  const { digest } = await clientOf(server, { fetch }).upload(bytes, { declare: `sha256:${sha256(bytes)}` });
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.deepEqual(requests, ["POST", "PATCH 0", `PATCH ${MIB}`, `PATCH ${2 * MIB}`, `PATCH ${3 * MIB}`]);
});

test("an upload survives a server that is killed and started again", async () => {
  const first = await serverOn("killed");
  const { reached, onProgress } = reaching(20 * MIB);
  const bytes = randomBytes(64 * MIB);
  const uploaded = clientOf(first, { retry: { ...RETRY, maxDelay: 100, attempts: 500 } }).upload(bytes, { onProgress });
  await reached;
  await first.stop("SIGKILL");
  await using second = await serverOn("killed", { PORT: String(first.port) });
  const { url, digest, sent } = await uploaded;
  assert.equal(url, `${second.url}/uploads/${sha256(bytes)}`);
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.ok(sent < 2 * bytes.length, `${sent}`);
});

test("a stalled connection is aborted", async () => {
  await using server = await serverOn("stalled");
  await using proxy = await BreakingProxy.start(server.port, { up: 700_000, holds: true, times: 1 });
  const bytes = randomBytes(12 * MIB);
  const client = clientOf(proxy, { retry: { ...RETRY, stallTimeout: 300 } });
  assert.equal((await client.upload(bytes, { declare: false })).digest, `sha256:${sha256(bytes)}`);
  assert.equal(proxy.broken, 1);
});

test("an upload waits for a server that is down", async () => {
  const gone = await serverOn("away");
  await gone.stop();
  const bytes = randomBytes(100);
  const uploaded = clientOf(gone, { retry: { minDelay: 50, maxDelay: 100, attempts: 500 } }).upload(bytes);
  await using back = await serverOn("away", { PORT: String(gone.port) });
  assert.equal(await stored((await uploaded).url), sha256(bytes));
  assert.equal(back.port, gone.port);
});

test("Retry-After is respected", async () => {
  await using service = await Service.start();
  let refused = 0;
  const busy: typeof fetch = async (url, init) => {
    if (refused > 0) return fetch(url, init);
    refused = performance.now();
    return new Response("busy", { status: 503, headers: { "Retry-After": "1" } });
  };
  await clientOf(service, { fetch: busy }).upload(Buffer.from("a"));
  assert.ok(performance.now() - refused >= 999);
  const long: typeof fetch = async () => new Response("busy", { status: 503, headers: { "Retry-After": "100000" } });
  await assert.rejects(clientOf(service, { fetch: long }).upload(Buffer.from("a")), { status: 503, retryAfter: 1e8 });
});

test("a paused upload sends nothing, lets others run, and resumes", async () => {
  await using server = await serverOn("paused");
  const { requests, fetch: recorded } = recording();
  const { reached, fetch } = holdingAppend(recorded);
  const client = clientOf(server, { fetch, concurrency: 1 });
  const bytes = randomBytes(64 * MIB);
  const upload = client.start(bytes, { declare: false });
  await reached;
  upload.pause();
  assert.equal(upload.isPaused, true);
  await client.upload(Buffer.from("another"));
  const before = requests.length;
  await client.upload(Buffer.from("one more"));
  assert.equal(requests.length, before + 1);
  upload.resume();
  assert.equal(upload.isPaused, false);
  const { digest, sent } = await upload.done;
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.ok(sent < 2 * bytes.length);
});

test("an upload can be paused before it starts, and while its stream yields nothing", async () => {
  await using service = await Service.start();
  const upload = clientOf(service).start(Buffer.from("early"));
  upload.pause();
  setImmediate(() => upload.resume());
  assert.equal((await upload.done).digest, `sha256:${sha256("early")}`);

  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const waiting = clientOf(service).start(readable);
  await writer.write(Buffer.from("first "));
  waiting.pause();
  await writer.write(Buffer.from("second"));
  waiting.resume();
  await writer.close();
  assert.equal((await waiting.done).digest, `sha256:${sha256("first second")}`);
});

test("a cancelled upload leaves nothing at the server", async () => {
  await using server = await serverOn("given-up");
  const { requests, fetch: recorded } = recording();
  const { reached, fetch } = holdingAppend(recorded);
  const storage = fileStorage(join(folder, "given-up.json"));
  const path = join(folder, "given-up.bin");
  await writeFile(path, randomBytes(64 * MIB));
  const upload = clientOf(server, { fetch, storage }).start(path);
  await reached;
  upload.abort();
  await assert.rejects(upload.done, aborted);
  assert.equal(requests.at(-1), "DELETE");
  assert.equal(await readFile(join(folder, "given-up.json"), "utf8"), "{}");
});

test("an upload that was stopped is resumed by the next process", async () => {
  await using server = await serverOn("stopped");
  const storage = fileStorage(join(folder, "memory", "uploads.json"));
  const path = join(folder, "stopped.bin");
  const bytes = randomBytes(64 * MIB);
  await writeFile(path, bytes);
  const stop = new AbortController();
  const held = holdingAppend();
  const options = { signal: stop.signal, declare: false };
  const first = clientOf(server, { storage, fetch: held.fetch }).upload(path, options);
  await held.reached;
  stop.abort();
  await assert.rejects(first, aborted);

  const { requests, fetch } = recording();
  const heard: UploadProgress[] = [];
  const second = clientOf(server, { storage: fileStorage(join(folder, "memory", "uploads.json")), fetch });
  const result = await second.upload(path, { onProgress: (progress) => heard.push(progress) });
  assert.equal(result.digest, `sha256:${sha256(bytes)}`);
  assert.equal(
    requests.find((request) => !request.startsWith("HEAD /")),
    "HEAD",
  );
  assert.ok(!requests.includes("POST") && !requests.includes("PATCH 0"), requests.join());
  assert.equal(result.sent, 48 * MIB);
  assert.ok((heard[0]?.bytes ?? 0) >= 16 * MIB);
  assert.deepEqual(await readdir(join(folder, "memory")), ["uploads.json"]);
  assert.equal(await readFile(join(folder, "memory", "uploads.json"), "utf8"), "{}");
});

for (const fingerprint of ["the scan of page 7", undefined]) {
  test(`bytes ${fingerprint === undefined ? "without" : "with"} a fingerprint after their upload was stopped`, async () => {
    await using server = await serverOn(`bytes-${fingerprint}`);
    const storage = fileStorage(join(folder, `bytes-${fingerprint}.json`));
    const bytes = randomBytes(40 * MIB);
    const stop = new AbortController();
    const held = holdingAppend();
    const given = { fingerprint, filename: "page.tiff" };
    const options = { ...given, signal: stop.signal, declare: false };
    const first = clientOf(server, { storage, fetch: held.fetch }).upload(bytes, options);
    await held.reached;
    stop.abort();
    await assert.rejects(first, aborted);

    const { requests, fetch } = recording();
    // equal bytes in another buffer
    const { digest } = await clientOf(server, { storage, fetch }).upload(Uint8Array.from(bytes), given);
    assert.equal(digest, `sha256:${sha256(bytes)}`);
    assert.equal(requests.includes("POST"), fingerprint === undefined, requests.join());
  });
}

test("another file with the same fingerprint is stored with its own bytes", async () => {
  await using server = await serverOn("same-fingerprint");
  const storage = fileStorage(join(folder, "same-fingerprint.json"));
  const stop = new AbortController();
  const { reached, fetch } = holdingAppend();
  const options = { fingerprint: "a", signal: stop.signal };
  const first = clientOf(server, { storage, fetch }).upload(randomBytes(40 * MIB), options);
  await reached;
  stop.abort();
  await assert.rejects(first, aborted);
  const other = randomBytes(40 * MIB);
  const { url } = await clientOf(server, { storage }).upload(other, { fingerprint: "a" });
  assert.equal(await stored(url), sha256(other));
});

test("an upload that an earlier run completed is not taken for that of another file of the same size", async () => {
  await using server = await serverOn("completed");
  const size = 30 * MIB;
  const headers = { "Upload-Complete": "?0", "Upload-Length": String(size) };
  const created = await fetch(`${server.url}/uploads`, { method: "POST", headers });
  const at = new URL(created.headers.get("location") ?? "", server.url).href;
  const completed = await fetch(at, {
    method: "PATCH",
    headers: { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?1" },
    body: randomBytes(size),
  });
  assert.equal(completed.status, 201);
  const expires = Date.now() + 60_000;
  const storage = { get: () => JSON.stringify({ at, expires }), set: () => undefined, remove: () => undefined };
  const other = randomBytes(size);
  const { url, digest } = await clientOf(server, { storage }).upload(other, { fingerprint: "a" });
  assert.equal(digest, `sha256:${sha256(other)}`);
  assert.equal(await stored(url), sha256(other));
});

test("an upload that the server has forgotten starts over", async () => {
  await using server = await serverOn("forgotten");
  const path = join(folder, "forgotten.bin");
  const bytes = randomBytes(2 * MIB);
  await writeFile(path, bytes);
  const at = `${server.url}/uploads/in-progress/${"0".repeat(32)}`;
  const expires = Date.now() + 60_000;
  const storage = { get: () => JSON.stringify({ at, expires }), set: () => undefined, remove: () => undefined };
  const { requests, fetch } = recording();
  assert.equal((await clientOf(server, { storage, fetch }).upload(path)).digest, `sha256:${sha256(bytes)}`);
  assert.deepEqual(requests.slice(0, 2), ["HEAD", "POST"]);
});

test("another file of the same name, size and time is stored with its own bytes", async () => {
  await using server = await serverOn("changed");
  const path = join(folder, "changed.bin");
  const storage = fileStorage(join(folder, "changed.json"));
  const time = new Date(2026, 1, 1);
  await writeFile(path, randomBytes(40 * MIB));
  await utimes(path, time, time);
  const stop = new AbortController();
  const { reached, fetch } = holdingAppend();
  const first = clientOf(server, { storage, fetch }).upload(path, { signal: stop.signal });
  await reached;
  stop.abort();
  await assert.rejects(first, aborted);
  const bytes = randomBytes(40 * MIB);
  await writeFile(path, bytes);
  await utimes(path, time, time);
  const result = await clientOf(server, { storage }).upload(path);
  assert.equal(result.digest, `sha256:${sha256(bytes)}`);
  assert.equal(await stored(result.url), sha256(bytes));
});

test("a file that changes while it is uploaded is an error", async () => {
  await using server = await serverOn("changing");
  await using proxy = await BreakingProxy.start(server.port, { up: 700_000, holds: true, times: 1 });
  const path = join(folder, "changing.bin");
  await writeFile(path, randomBytes(12 * MIB));
  const { reached, onProgress } = reaching(1);
  const client = clientOf(proxy, { retry: { ...RETRY, stallTimeout: 300 } });
  const uploaded = client.upload(path, { onProgress, declare: false });
  await reached;
  await writeFile(path, "shorter");
  await assert.rejects(uploaded, { code: "source-changed" });
});

test("a lost response is requested again, and nothing is sent twice", async () => {
  await using server = await serverOn("lost-answer");
  const bytes = randomBytes(2 * MIB);
  const { requests, fetch: recorded } = recording();
  let lost = 0;
  const losing: typeof fetch = async (url, init) => {
    const answer = await recorded(url, init);
    const { "Upload-Complete": complete } = { ...(init?.headers as Record<string, string>) };
    if (complete !== "?1") return answer;
    lost += 1;
    throw new TypeError("the connection was lost");
  };
  const result = await clientOf(server, { fetch: losing }).upload(bytes);
  assert.deepEqual([result.digest, result.existed], [`sha256:${sha256(bytes)}`, false]);
  assert.equal(lost, 1);
  assert.deepEqual(requests.slice(-2), ["HEAD", "GET"]);
});

test("two simultaneous uploads of one file do not take over each other", async () => {
  await using server = await serverOn("twice");
  const path = join(folder, "twice.bin");
  const bytes = randomBytes(8 * MIB);
  await writeFile(path, bytes);
  const { requests, fetch } = recording();
  const client = clientOf(server, { fetch, storage: fileStorage(join(folder, "twice.json")) });
  const results = await Promise.all([client.upload(path), client.upload(path)]);
  for (const { digest } of results) assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.ok(requests.filter((request) => request === "POST").length >= 2);
});

test("a failing storage does not fail uploads", async () => {
  await using service = await Service.start();
  const path = join(folder, "no-storage.bin");
  const bytes = randomBytes(2 * MIB);
  await writeFile(path, bytes);
  const fail = (): never => {
    throw new Error("full");
  };
  const storage = { get: fail, set: fail, remove: fail };
  assert.equal((await clientOf(service, { storage }).upload(path)).digest, `sha256:${sha256(bytes)}`);
});
