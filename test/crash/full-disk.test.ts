import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import { after, before, test } from "node:test";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { onTmpfs } from "../helpers/store-process.ts";
import { linkTo, ROUTES, type Told, uploadBy } from "../helpers/upload-routes.ts";

const withTmpfs = needing("a mounted tmpfs");
const KIB = 1024;
const MIB = 1024 * KIB;
const FULL: Told = { status: 507, link: null, code: "store-full" };
const random = new Random(1);

let outside: StoreFolder;
/** The store's folder with the small disk on it, which only the server sees. */
let folder: StoreFolder;
let server: ServerProcess;

before(async () => {
  if (withTmpfs.skip !== false) return;
  outside = await StoreFolder.make();
  await mkdir(outside.path);
  server = await ServerProcess.start({ dir: outside.path, under: onTmpfs(outside.path, "8m") });
  folder = outside.seenBy(server);
});

after(async () => {
  if (withTmpfs.skip !== false) return;
  await server[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
});

async function assertServes(content: Buffer): Promise<void> {
  const response = await fetch(server.url + linkTo(content));
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content));
}

test(
  "a file that does not fit is 507, its room is free at once, and small files and reads go on",
  withTmpfs,
  async () => {
    const kept = random.bytes(100 * KIB);
    assert.equal((await uploadBy("raw", server.port, kept)).status, 201);
    for (const route of ROUTES) {
      assert.deepEqual(await uploadBy(route, server.port, random.bytes(12 * MIB)), FULL);
      assert.deepEqual(await folder.staged(), []);
      const small = random.bytes(10 * KIB);
      const told = await uploadBy(route, server.port, small);
      assert.ok(told.link?.startsWith(linkTo(small)), route);
      await assertServes(small);
      await assertServes(kept);
    }
  },
);

test("while a file that does not fit arrives, reads and small uploads succeed", withTmpfs, async () => {
  const small = ROUTES.map(() => random.bytes(KIB));
  const large = uploadBy("raw", server.port, random.bytes(30 * MIB));
  const kept = small[0] ?? Buffer.alloc(0);
  // one of them may come just when the large one has taken all the room; it is told so, and told so only
  for (const [index, content] of small.entries()) {
    const told = await uploadBy(ROUTES[index] ?? "raw", server.port, content);
    if (told.link === null) assert.deepEqual(told, FULL);
  }
  assert.deepEqual(await large, FULL);
  assert.ok((await uploadBy("raw", server.port, kept)).link);
  await assertServes(kept);
});

test(
  "uploads at once that do not all fit: each is whole and acknowledged, or refused and gone",
  withTmpfs,
  async () => {
    const contents = Array.from({ length: 12 }, () => random.bytes(2 * MIB));
    const told = await Promise.all(
      contents.map((content, index) => uploadBy(ROUTES[index % ROUTES.length] ?? "raw", server.port, content)),
    );
    assert.deepEqual(await folder.staged(), []);
    const stored = await folder.wholeBlobs();
    for (const [index, content] of contents.entries()) {
      const { link, ...problem } = told[index] ?? FULL;
      if (link === null) assert.deepEqual({ ...problem, link }, FULL);
      else await assertServes(content);
      assert.equal(stored.has(sha256(content)), link !== null);
    }
    assert.ok(told.some(({ link }) => link === null));
  },
);

test(
  "a disk that is full to the last byte refuses everything new, serves the rest, and recovers by itself",
  withTmpfs,
  async () => {
    const filling: Buffer[] = [];
    for (let size = MIB; size >= 1; size = size >> 1) {
      for (;;) {
        const content = random.bytes(size);
        const { status } = await uploadBy("raw", server.port, content);
        if (status !== 201) break;
        filling.push(content);
        if (size < 4 * KIB) break;
      }
    }
    for (const route of ROUTES) assert.deepEqual(await uploadBy(route, server.port, random.bytes(5 * KIB)), FULL);
    assert.deepEqual(await folder.staged(), []);
    const [largest] = filling;
    const small = filling.find(({ length }) => length < 200 * KIB);
    assert.ok(largest && small);
    // what is there already needs no room: where it is announced, or is small enough to be held until it is known
    for (const route of ROUTES) assert.ok((await uploadBy(route, server.port, small)).link, route);
    assert.ok((await uploadBy("put", server.port, largest)).link);
    await assertServes(largest);
    await rm(folder.blob(sha256(largest)));
    for (const route of ROUTES) assert.ok((await uploadBy(route, server.port, random.bytes(5 * KIB))).link, route);
    await folder.wholeBlobs();
  },
);
