/** The `prepare` option of the client in Node. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  type ClientOptions,
  createClient,
  fileStorage,
  FixityClientError,
  type PrepareFile,
  type UploadProgress,
} from "../../src/client/node.ts";
import { holdingAppend } from "../helpers/held-append.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { stored } from "../helpers/stored.ts";

const MIB = 1024 * 1024;

let folder = "";
let service: Service;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  service = await Service.start();
});
after(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function clientOf(options: Partial<ClientOptions> = {}) {
  return createClient({ endpoint: `${service.url}/uploads`, retry: { minDelay: 1 }, ...options });
}

const withoutFirstByte: PrepareFile = (file) => file.slice(1);

for (const size of [0, 1, 1000, 3 * MIB]) {
  test(`what prepare returns is uploaded instead of the file: ${size} bytes`, async () => {
    const bytes = randomBytes(size);
    const path = join(folder, `${size}.png`);
    await writeFile(path, bytes);
    const expected = sha256(bytes.subarray(1));
    const reports: UploadProgress[] = [];
    const client = clientOf({ prepare: withoutFirstByte });
    const onProgress = (progress: UploadProgress): unknown => reports.push(progress);
    for (const source of [path, bytes, new Blob([bytes]), new File([bytes], "a.png")]) {
      const result = await client.upload(source, { onProgress, filename: "b.png" });
      assert.deepEqual([result.digest, result.name], [`sha256:${expected}`, "b.png"]);
      assert.equal(await stored(result.url), expected);
    }
    assert.deepEqual([reports[0]?.phase, reports[0]?.total], ["preparing", null]);
    assert.equal(reports.at(-1)?.total, Math.max(0, size - 1));
  });
}

test("prepare receives a file with its name and type, and may change both", async () => {
  const path = join(folder, "photo.heic");
  await writeFile(path, "pixels");
  const received: unknown[] = [];
  const prepare: PrepareFile = async (file) => {
    received.push([file.name, file.type, await file.text()]);
    return new File(["PIXELS"], file.name.replace("heic", "jpg"), { type: "image/jpeg" });
  };
  const client = clientOf({ prepare });
  const given = { filename: "shown.heic", type: "image/heic" };
  const results = [
    await client.upload(path),
    await client.upload(new Blob(["pixels"], { type: "image/heic" })),
    await client.upload(new File(["pixels"], "holiday.heic", { type: "image/heic" }), given),
  ];
  assert.deepEqual(received, [
    ["photo.heic", "", "pixels"],
    ["", "image/heic", "pixels"],
    ["shown.heic", "image/heic", "pixels"],
  ]);
  assert.deepEqual(
    results.map(({ name, type }) => [name, type]),
    [
      ["photo.jpg", "image/jpeg"],
      [null, "image/jpeg"],
      ["shown.jpg", "image/jpeg"],
    ],
  );
});

test("an upload's own prepare replaces that of the client, and null is none", async () => {
  const client = clientOf({ prepare: withoutFirstByte });
  const upper: PrepareFile = async (file) => new Blob([(await file.text()).toUpperCase()]);
  assert.equal((await client.upload(Buffer.from("abc"))).digest, `sha256:${sha256("bc")}`);
  assert.equal((await client.upload(Buffer.from("abc"), { prepare: upper })).digest, `sha256:${sha256("ABC")}`);
  assert.equal((await client.upload(Buffer.from("abc"), { prepare: null })).digest, `sha256:${sha256("abc")}`);
});

test("a failure of prepare fails the upload, and nothing is sent", async () => {
  const requests: unknown[] = [];
  const client = clientOf({
    fetch: async (url, init) => {
      requests.push(url);
      return fetch(url, init);
    },
  });
  const cause = new RangeError("too many pixels");
  const own = new FixityClientError("invalid-source", "not an image");
  const cases: readonly (readonly [PrepareFile, object])[] = [
    [
      () => {
        throw cause;
      },
      { code: "prepare-failed", message: "The prepare function failed: too many pixels", cause, retryable: false },
    ],
    [() => Promise.reject(cause), { code: "prepare-failed", cause }],
    [() => Promise.reject(own), { code: "invalid-source", message: "not an image" }],
    ...[undefined, null, "text", 7].map(
      (value) => [() => value as unknown as Blob, { code: "prepare-failed", status: null }] as const,
    ),
  ];
  for (const [prepare, expected] of cases) {
    await assert.rejects(client.upload(Buffer.from("a"), { prepare }), expected);
  }
  assert.deepEqual(requests, []);
});

test("a stream cannot be prepared, and is not sent as it is", async () => {
  const client = clientOf({ prepare: withoutFirstByte });
  const before = await service.count();
  await assert.rejects(client.upload(new Blob(["stream"]).stream()), { code: "invalid-source" });
  assert.equal(await service.count(), before);
});

test("a cancelled upload aborts prepare, and does not wait for it", async () => {
  const signals: AbortSignal[] = [];
  const begun = Promise.withResolvers<void>();
  const never: PrepareFile = (_file, { signal }) => {
    signals.push(signal);
    begun.resolve();
    return new Promise<never>(() => undefined);
  };
  const upload = clientOf().start(Buffer.from("a"), { prepare: never });
  await begun.promise;
  upload.abort();
  await assert.rejects(upload.done, { code: "aborted" });
  assert.equal(signals[0]?.aborted, true);
});

test("a paused upload sends nothing of a file that was prepared meanwhile", async () => {
  const prepared = Promise.withResolvers<Blob>();
  const begun = Promise.withResolvers<void>();
  const phases: string[] = [];
  const upload = clientOf().start(Buffer.from("a"), {
    prepare: () => {
      begun.resolve();
      return prepared.promise;
    },
    onProgress: ({ phase }) => phases.push(phase),
  });
  await begun.promise;
  upload.pause();
  prepared.resolve(new Blob(["b"]));
  await new Promise(setImmediate);
  assert.deepEqual(phases, ["preparing"]);
  upload.resume();
  assert.equal((await upload.done).digest, `sha256:${sha256("b")}`);
});

test("a file that changes while what was prepared of it is sent is an error", async () => {
  const path = join(folder, "changing.bin");
  await writeFile(path, "before");
  const prepare: PrepareFile = async (file) => {
    const copy = new Blob([await file.arrayBuffer()]);
    await appendFile(path, "after");
    return copy;
  };
  await assert.rejects(clientOf({ prepare }).upload(path), { code: "source-changed" });
});

for (const [name, again, resumes] of [
  ["the same bytes are prepared again", withoutFirstByte, true],
  ["other bytes of the same size are prepared", (file: File) => file.slice(0, file.size - 1), true],
  ["the file is not prepared again", null, false],
] as const) {
  test(`the next process ${resumes ? "resumes" : "starts over"} if ${name}, and stores the right bytes`, async () => {
    const path = join(folder, `${name}.bin`);
    const bytes = randomBytes(40 * MIB);
    await writeFile(path, bytes);
    const storage = fileStorage(join(folder, `${name}.json`));
    const stop = new AbortController();
    const { reached, fetch } = holdingAppend();
    const options = { signal: stop.signal, declare: false, prepare: withoutFirstByte };
    const first = clientOf({ storage, fetch }).upload(path, options);
    await reached;
    stop.abort();
    await assert.rejects(first, { code: "aborted" });
    const reports: UploadProgress[] = [];
    const second = clientOf({ storage: fileStorage(join(folder, `${name}.json`)) });
    const result = await second.upload(path, { prepare: again, onProgress: (progress) => reports.push(progress) });
    const expected = again === null ? bytes : again === withoutFirstByte ? bytes.subarray(1) : bytes.subarray(0, -1);
    assert.equal(result.digest, `sha256:${sha256(expected)}`);
    assert.equal(await stored(result.url), sha256(expected));
    const from = reports.find(({ phase }) => phase === "sending")?.bytes ?? 0;
    assert.equal(from > 0, resumes, `${from}`);
  });
}
