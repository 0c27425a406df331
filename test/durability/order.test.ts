import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, truncate } from "node:fs/promises";
import { after, before, test } from "node:test";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Strace } from "../helpers/strace.ts";
import { linkTo, type Route, ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { UploadTrace } from "./upload-trace.ts";

const withStrace = needing("strace");
const KIB = 1024;
const TOKEN = "a-token-of-some-length";

let folder: StoreFolder;
let server: ServerProcess;

before(async () => {
  folder = await StoreFolder.make();
  server = await ServerProcess.start({ dir: folder.path });
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Runs `work` while the server is traced. */
async function traced(work: () => Promise<void>, traced: ServerProcess = server): Promise<UploadTrace> {
  await using strace = await Strace.attach(traced.pid);
  await work();
  return new UploadTrace(await strace.calls(), folder);
}

function newContent(size = 1000): Buffer {
  return folder.firstInFolder(() => randomBytes(size));
}

/** Content that lies in the same folder as that of `hex`. */
function besides(hex: string): Buffer {
  for (;;) {
    const content = randomBytes(1000);
    if (sha256(content).slice(0, 2) === hex.slice(0, 2)) return content;
  }
}

async function upload(route: Route, content: Buffer, status: number): Promise<void> {
  const told = await uploadBy(route, server.port, content);
  assert.equal(told.status, route === "page form" ? 303 : status);
  assert.equal(told.link?.startsWith(linkTo(content)), true);
}

/** Reads a file, which verifies it: then a duplicate of it does not replace it. */
async function verify({ url }: ServerProcess, content: Buffer): Promise<void> {
  const response = await fetch(url + linkTo(content));
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content));
}

const statusBy = (route: Route, status: number): number => (route === "page form" ? 303 : status);

for (const route of ROUTES) {
  test(
    `${route}: small and large files are durable, in the right order, before they are acknowledged`,
    withStrace,
    async () => {
      for (const size of [1, 5 * KIB, 300 * KIB, 3 * KIB * KIB]) {
        const content = newContent(size);
        const trace = await traced(() => upload(route, content, 201));
        trace.assertDurableBefore(trace.answer(statusBy(route, 201), content), content);
        trace.assertBlobsUntouched();
      }
    },
  );

  const sendsContent = !route.startsWith("put");
  const replacing = sendsContent ? withStrace : { skip: "no content is sent for a file that is stored" };
  test(`${route}: a duplicate of a file that was not verified replaces it in the same order`, replacing, async () => {
    const content = newContent(20 * KIB);
    await upload("raw", content, 201);
    const trace = await traced(() => upload(route, content, 200));
    trace.assertDurableBefore(trace.answer(statusBy(route, 200), content), content);
    assert.equal(trace.publicationOf(content)?.name, "rename");
    trace.assertBlobsUntouched();
  });

  test(`${route}: a duplicate is made durable before it is acknowledged, and is not written`, withStrace, async () => {
    const content = newContent(20 * KIB);
    await upload("raw", content, 201);
    await verify(server, content);
    const trace = await traced(() => upload(route, content, 200));
    const answer = trace.answer(statusBy(route, 200), content);
    assert.equal(trace.publicationOf(content), null);
    trace.assertFlushed([folder.blob(sha256(content)), folder.fanOut(sha256(content))], { before: answer });
    trace.assertBlobsUntouched();
  });
}

test("an empty file is made as durable as any other", withStrace, async () => {
  const content = Buffer.alloc(0);
  const trace = await traced(() => upload("form", content, 201));
  trace.assertDurableBefore(trace.answer(201, content), content);
});

test("an upload that is flushed early is flushed again at its end", withStrace, async () => {
  const content = randomBytes(40 * KIB * KIB);
  const trace = await traced(() => upload("raw", content, 201));
  trace.assertDurableBefore(trace.answer(201, content), content);
  assert.ok(
    trace.flushes.some(({ name }) => name === "fdatasync"),
    "there was an early flush",
  );
});

test("a blob that another process has published is not assumed to be durable", withStrace, async () => {
  const content = newContent();
  await upload("raw", content, 201);
  for (const route of ["form", "put"] as const) {
    await using another = await ServerProcess.start({ dir: folder.path });
    const trace = await traced(async () => {
      assert.equal((await uploadBy(route, another.port, content)).status, 200);
    }, another);
    const answer = trace.answer(200, content);
    const hex = sha256(content);
    // The form's bytes replace a file that was not verified; the other route sends none.
    if (route === "form") trace.assertDurableBefore(answer, content);
    else trace.assertFlushed([folder.blob(hex)], { before: answer });
    trace.assertFlushed([folder.fanOut(hex), folder.blobs, folder.path], { before: answer });
  }
});

test("a fan-out folder that another process has created is not assumed to be durable", withStrace, async () => {
  const content = newContent();
  await mkdir(folder.fanOut(sha256(content)));
  const trace = await traced(() => upload("raw", content, 201));
  const answer = trace.answer(201, content);
  trace.assertDurableBefore(answer, content);
  trace.assertFlushed([folder.blobs], { before: answer });
});

test(
  "concurrent uploads into one folder share flushes, but none is acknowledged by an earlier flush",
  withStrace,
  async () => {
    const first = newContent();
    const contents = [first, ...Array.from({ length: 23 }, () => besides(sha256(first)))];
    const trace = await traced(async () => {
      await Promise.all(contents.map((content, index) => upload(index % 2 === 0 ? "raw" : "form", content, 201)));
    });
    for (const content of contents) trace.assertDurableBefore(trace.answer(201, content), content);
  },
);

test("many concurrent small uploads go through two threads, each in the usual order", withStrace, async () => {
  const first = newContent();
  const crowd = (): Buffer[] => Array.from({ length: 24 }, () => besides(sha256(first)));
  const uploadAll = async (contents: readonly Buffer[]): Promise<void> => {
    await Promise.all(contents.map((content, index) => upload(index % 2 === 0 ? "raw" : "form", content, 201)));
  };
  // the threads are started by the first crowd; whoever comes before they run goes the long way, by a pool of more threads
  await upload("raw", first, 201);
  await until(async () => {
    const contents = crowd();
    const trace = await traced(() => uploadAll(contents));
    for (const content of contents) trace.assertDurableBefore(trace.answer(201, content), content);
    return new Set(contents.map((content) => trace.publicationOf(content)?.thread)).size <= 2;
  });
});

test("concurrent uploads of the same content all wait until it is durable", withStrace, async () => {
  const content = newContent(100 * KIB);
  const links = new Set<string | null>();
  const trace = await traced(async () => {
    const told = await Promise.all(Array.from({ length: 12 }, () => uploadBy("raw", server.port, content)));
    for (const { link, status } of told) {
      links.add(link);
      assert.ok(status === 201 || status === 200);
    }
  });
  assert.deepEqual([...links], [linkTo(content)]);
  const [first, ...replacements] = trace.publicationsOf(content);
  assert.ok(first);
  trace.assertFolderFlushed({ since: first, before: trace.firstAnswer(), content });
  // The file has not been verified yet, so each of the others replaces it.
  assert.ok(replacements.every(({ name }) => name === "rename"));
});

test("a blob that replaces a damaged one is durable in the same order", withStrace, async () => {
  const content = newContent(50 * KIB);
  await upload("raw", content, 201);
  const blob = folder.blob(sha256(content));
  await chmod(blob, 0o644);
  await truncate(blob, 10);
  const trace = await traced(() => upload("form", content, 201));
  trace.assertDurableBefore(trace.answer(201, content), content);
  assert.equal(trace.publicationOf(content)?.name, "rename");
});

test("a removal is durable before it is acknowledged", withStrace, async () => {
  await using admin = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_TOKENS: TOKEN } });
  const content = newContent();
  await upload("raw", content, 201);
  const trace = await traced(async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const removed = await fetch(admin.url + linkTo(content), { method: "DELETE", headers });
    assert.equal(removed.status, 204);
  }, admin);
  const unlinked = trace.removalOf(content);
  trace.assertFolderFlushed({ since: unlinked, before: trace.answer(204), content });
});

test("with durability none nothing is flushed", withStrace, async () => {
  await using quick = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_DURABILITY: "none" } });
  const contents = ROUTES.map(() => newContent(300 * KIB));
  const trace = await traced(async () => {
    for (const [index, route] of ROUTES.entries()) {
      const told = await uploadBy(route, quick.port, contents[index] ?? Buffer.alloc(0));
      assert.ok(told.link !== null);
    }
    await verify(quick, contents[0] ?? Buffer.alloc(0));
    assert.equal((await uploadBy("raw", quick.port, contents[0] ?? Buffer.alloc(0))).status, 200);
  }, quick);
  for (const content of contents) assert.ok(trace.publicationOf(content));
  assert.deepEqual(trace.flushes, []);
});
