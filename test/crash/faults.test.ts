import assert from "node:assert/strict";
import { chmod, truncate } from "node:fs/promises";
import { after, before, test } from "node:test";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { settled } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Strace } from "../helpers/strace.ts";
import { pathOf, type TracedCall } from "../helpers/trace.ts";
import { linkTo, type Route, ROUTES, type Told, uploadBy } from "../helpers/upload-routes.ts";

const withStrace = needing("strace");
const KIB = 1024;
const MIB = 1024 * KIB;
/** More staging files than the server creates in this file. */
const MAX_STAGED = 1600;
const random = new Random(1);

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

/** A system call that fails. */
interface Fault {
  readonly call: string;
  /** The files or folders on which it fails. */
  readonly on: "staging file" | "blob" | "fan-out folder" | "blobs folder";
  readonly error: string;
  readonly status: number;
  readonly code: string;
}

const unavailable = { status: 503, code: "store-unavailable" };
const full = { status: 507, code: "store-full" };

function faultsOf(call: string, on: Fault["on"]): Fault[] {
  return [
    { call, on, error: "EIO", ...unavailable },
    { call, on, error: "ENOSPC", ...full },
  ];
}

function newContent(size: number): Buffer {
  return folder.firstInFolder(() => random.bytes(size));
}

async function pathsOf(on: Fault["on"], content: Buffer): Promise<readonly string[]> {
  const hex = sha256(content);
  if (on === "staging file") return folder.nextStaged(MAX_STAGED);
  return [{ blob: folder.blob(hex), "fan-out folder": folder.fanOut(hex), "blobs folder": folder.blobs }[on]];
}

/** Uploads while the fault lasts. */
async function uploadWith(fault: Fault, route: Route, content: Buffer): Promise<{ told: Told; calls: TracedCall[] }> {
  const paths = await pathsOf(fault.on, content);
  const inject = [`${fault.call}:error=${fault.error}`];
  await using strace = await Strace.attach(server.pid, { calls: [fault.call], paths, inject });
  const told = await uploadBy(route, server.port, content);
  return { told, calls: await strace.calls() };
}

/** Asserts that the failure is reported, leaves nothing behind, and ends with its cause. */
async function assertFails(fault: Fault, route: Route, content: Buffer): Promise<void> {
  const { told, calls } = await uploadWith(fault, route, content);
  assert.deepEqual(told, { status: fault.status, link: null, code: fault.code });
  const [failed, ...repeated] = calls.filter(({ injected }) => injected);
  assert.ok(failed, "the fault occurred");
  assert.deepEqual(repeated, [], "a failed call is not repeated");
  assert.deepEqual(await folder.staged(), [], "no staging file is left");
  await assertWorks(route, content);
}

async function assertWorks(route: Route, content: Buffer): Promise<void> {
  const told = await uploadBy(route, server.port, content);
  assert.ok(told.link?.startsWith(linkTo(content)), `${route}: ${told.status} ${told.code}`);
  const response = await fetch(server.url + told.link);
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content));
}

const FAULTS: readonly Fault[] = [
  ...faultsOf("openat", "staging file"),
  { call: "openat", on: "staging file", error: "EMFILE", ...unavailable },
  { call: "openat", on: "staging file", error: "EROFS", status: 500, code: "store-misconfigured" },
  ...faultsOf("write", "staging file"),
  { call: "write", on: "staging file", error: "EDQUOT", ...full },
  ...faultsOf("writev", "staging file"),
  ...faultsOf("fsync", "staging file"),
  ...faultsOf("link", "staging file"),
  ...faultsOf("mkdir", "fan-out folder"),
  ...faultsOf("openat", "fan-out folder"),
  ...faultsOf("fsync", "fan-out folder"),
  ...faultsOf("fsync", "blobs folder"),
];

for (const fault of FAULTS) {
  const { call, on, error, code } = fault;
  // one chunk is written by write, several by writev
  const size = call === "writev" ? 3 * MIB : 10 * KIB;
  test(`${error} from ${call} on the ${on} is reported as ${code} by every route`, withStrace, async () => {
    for (const route of ROUTES) await assertFails(fault, route, newContent(size));
  });
}

test("an early flush that fails fails the upload, and the file is never flushed again", withStrace, async () => {
  const content = random.bytes(40 * MIB);
  const inject = ["fdatasync:error=EIO"];
  const strace = await Strace.attach(server.pid, {
    calls: ["fdatasync", "fsync"],
    paths: await folder.nextStaged(MAX_STAGED),
    inject,
  });
  await using _ = strace;
  const told = await uploadBy("raw", server.port, content);
  assert.deepEqual(told, { ...unavailable, link: null });
  assert.deepEqual(
    (await strace.calls()).map(({ name, error }) => `${name} ${error}`),
    ["fdatasync EIO"],
  );
  assert.deepEqual(await folder.staged(), []);
  await assertWorks("raw", content);
});

test("a duplicate that cannot be made durable is not acknowledged", withStrace, async () => {
  for (const on of ["blob", "fan-out folder"] as const) {
    const content = newContent(KIB);
    await assertWorks("raw", content);
    // A file that was not verified would be replaced by its duplicate.
    await (await fetch(server.url + linkTo(content))).arrayBuffer();
    const fault: Fault = { call: "fsync", on, error: "EIO", ...unavailable };
    for (const route of ROUTES) await assertFails(fault, route, content);
  }
});

test("a damaged blob that cannot be replaced stays, and its upload fails", withStrace, async () => {
  const content = newContent(KIB);
  await assertWorks("raw", content);
  await chmod(folder.blob(sha256(content)), 0o644);
  await truncate(folder.blob(sha256(content)), 10);
  await assertFails({ call: "rename", on: "staging file", error: "EIO", ...unavailable }, "raw", content);
});

test(
  "a staging file that cannot be removed fails no upload, and is removed at the next start",
  withStrace,
  async () => {
    const content = newContent(KIB);
    const fault: Fault = { call: "unlink", on: "staging file", error: "EIO", ...unavailable };
    const { told } = await uploadWith(fault, "raw", content);
    assert.equal(told.status, 201);
    assert.equal((await folder.staged()).length, 1);
    await server.stop("SIGKILL");
    server = await ServerProcess.start({ dir: folder.path });
    assert.deepEqual(await folder.staged(), []);
    await assertWorks("raw", content);
  },
);

test("a blob that cannot be read is answered with 503, and never truncated", withStrace, async () => {
  const content = newContent(500 * KIB);
  await assertWorks("raw", content);
  const url = server.url + linkTo(content);
  const paths = await pathsOf("blob", content);
  {
    await using _ = await Strace.attach(server.pid, { calls: ["openat"], paths, inject: ["openat:error=EIO"] });
    const response = await fetch(url);
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], Object.values(unavailable));
  }
  {
    await using _ = await Strace.attach(server.pid, { calls: ["pread64"], paths, inject: ["pread64:error=EIO"] });
    await assert.rejects(async () => (await fetch(url)).arrayBuffer(), "the connection is destroyed");
  }
  await assertWorks("raw", content);
});

test("a fault of some uploads does not affect concurrent ones", withStrace, async () => {
  const contents = Array.from({ length: 16 }, () => random.bytes(300 * KIB));
  const paths = (await folder.nextStaged(MAX_STAGED)).filter((_, index) => index % 3 === 0);
  const inject = ["fsync:error=EIO"];
  await using strace = await Strace.attach(server.pid, { calls: ["fsync"], paths, inject });
  const told = await Promise.all(
    contents.map((content, index) => uploadBy(ROUTES[index % ROUTES.length] ?? "raw", server.port, content)),
  );
  const failed = (await strace.calls()).map((call) => pathOf(call));
  assert.ok(failed.length > 0 && failed.length < contents.length);
  assert.equal(new Set(failed).size, failed.length, "no file was flushed twice");
  for (const { link, ...problem } of told) if (link === null) assert.deepEqual(problem, unavailable);
  assert.equal(told.filter(({ link }) => link === null).length, failed.length);
  assert.deepEqual(await folder.staged(), []);
  for (const content of contents) await assertWorks("raw", content);
});

/** Uploads many small files concurrently, while `fsync` fails on some paths. */
async function uploadManyWith(
  paths: readonly string[],
  contents: readonly Buffer[],
): Promise<{ told: Told[]; failed: string[] }> {
  await using strace = await Strace.attach(server.pid, { calls: ["fsync"], paths, inject: ["fsync:error=EIO"] });
  const told = await Promise.all(contents.map((content) => uploadBy("raw", server.port, content)));
  return { told, failed: (await strace.calls()).map((call) => pathOf(call) ?? "") };
}

test("of many concurrent small files, a failed flush fails its own upload and no other", withStrace, async () => {
  const newContents = (): Buffer[] => Array.from({ length: 32 }, () => random.bytes(KIB));
  // the first uploads start the threads that write many small files, and create the folders
  for (let times = 0; times < 8; times += 1) {
    await Promise.all(newContents().map((content) => uploadBy("raw", server.port, content)));
  }
  const contents = newContents();
  const staged = (await folder.nextStaged(MAX_STAGED)).filter((_, index) => index % 3 === 0);
  const { told, failed } = await uploadManyWith(staged, contents);
  assert.ok(failed.length > 0 && failed.length < contents.length);
  assert.equal(new Set(failed).size, failed.length, "no file was flushed twice");
  for (const { link, ...problem } of told) if (link === null) assert.deepEqual(problem, unavailable);
  assert.equal(told.filter(({ link }) => link === null).length, failed.length);
  assert.deepEqual(await folder.staged(), []);
  for (const content of contents) await assertWorks("raw", content);
});

test(
  "of many concurrent small files, a folder that cannot be flushed fails those in it and no other",
  withStrace,
  async () => {
    const contents = Array.from({ length: 64 }, () => random.bytes(KIB));
    const fanOuts = contents.slice(0, 8).map((content) => folder.fanOut(sha256(content)));
    const { told, failed } = await uploadManyWith(fanOuts, contents);
    assert.ok(failed.length > 0);
    for (const [index, { link, ...problem }] of told.entries()) {
      const isIn = fanOuts.includes(folder.fanOut(sha256(contents[index] ?? Buffer.alloc(0))));
      if (isIn) assert.deepEqual({ link, ...problem }, { ...unavailable, link: null });
      else assert.ok(link);
    }
    assert.deepEqual(await folder.staged(), []);
    for (const content of contents) await assertWorks("raw", content);
  },
);

test("after all these faults every blob is intact, and no descriptor has leaked", withStrace, async () => {
  await folder.wholeBlobs();
  const opened = await server.openFiles();
  const fault: Fault = { call: "fsync", on: "staging file", error: "EIO", ...unavailable };
  for (const route of ROUTES) await assertFails(fault, route, newContent(300 * KIB));
  const left = await settled(
    () => server.openFiles(),
    (count) => count <= opened,
  );
  assert.ok(left <= opened, `from ${opened} to ${left}`);
});
