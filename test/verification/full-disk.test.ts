/** Damage that is found while the disk is full to its last byte. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { onTmpfs, StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { linkTo, uploadBy } from "../helpers/upload-routes.ts";
import { flip } from "./damaging.ts";

const KIB = 1024;

/** A module that makes the monotonic clock of a process fast, so that it lists the marks more than once a second. */
const FAST_CLOCK = `data:text/javascript,${encodeURIComponent(
  "const now = performance.now.bind(performance); performance.now = () => now() * 50;",
)}`;

/** Writes files until nothing more fits. @returns a function that makes room again */
async function fill(folder: StoreFolder): Promise<() => Promise<void>> {
  const path = join(folder.path, "filling");
  const file = await open(path, "w");
  try {
    for (const size of [64 * KIB, KIB, 1]) {
      const bytes = Buffer.alloc(size, 1);
      for (;;) {
        const { bytesWritten } = await file.write(bytes).catch(() => ({ bytesWritten: 0 }));
        if (bytesWritten < size) break;
      }
    }
  } finally {
    await file.close();
  }
  return () => rm(path);
}

test(
  "on a full disk a damaged file is refused although it cannot be marked, and it is marked once there is room",
  needing("a mounted tmpfs"),
  async () => {
    const random = new Random();
    await using outside = await StoreFolder.make();
    await mkdir(outside.path);
    const under = onTmpfs(outside.path, "4m");
    const env = { NODE_OPTIONS: `--import ${FAST_CLOCK}` };
    await using server = await ServerProcess.start({ dir: outside.path, under, env });
    const folder = outside.seenBy(server);
    const contents = [random.bytes(KIB), random.bytes(600 * KIB)];
    for (const bytes of contents) {
      assert.equal((await uploadBy("raw", server.port, bytes)).status, 201);
      await flip(folder.blob(sha256(bytes)), 500);
    }
    const makeRoom = await fill(folder);
    const get = (bytes: Buffer, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(server.url + linkTo(bytes), { headers });
    const isMarked = (bytes: Buffer): boolean => existsSync(folder.document(`marks/damaged-${sha256(bytes)}`));
    const assertRefused = async (): Promise<void> => {
      for (const bytes of contents) {
        for (const headers of [{}, { Range: "bytes=0-9" }]) {
          const answer = await get(bytes, headers);
          assert.equal(answer.status, 500);
          assert.equal(((await answer.json()) as { code: string }).code, "blob-damaged");
        }
      }
    };
    // A large file is broken off the first time.
    for (const bytes of contents)
      await get(bytes)
        .then((answer) => answer.text())
        .catch(() => null);
    await assertRefused();
    const first = server.output.split("\n").find((line) => line.includes("could not be marked")) ?? "";
    assert.match(first, /the damaged blob sha256:[0-9a-f]{64} could not be marked: other instances do not know of it/);
    assert.match(first, /store-full/);
    // The marks are listed again and again meanwhile.
    await assertRefused();
    assert.deepEqual(contents.map(isMarked), [false, false]);
    assert.deepEqual(await folder.documentLeftovers(), []);
    await makeRoom();
    await until(async () => {
      await assertRefused();
      return contents.every(isMarked);
    });
    // Another instance refuses it before it reads anything.
    await using store = diskStore({ root: folder.path, log: (message) => assert.fail(message) });
    await using service = await Service.start({ store, verifyReads: "never", log: () => null });
    for (const bytes of contents) assert.equal((await fetch(service.url + linkTo(bytes))).status, 500);
    for (const bytes of contents) {
      assert.notEqual((await uploadBy("raw", server.port, bytes)).link, null);
      assert.ok(Buffer.from(await (await get(bytes)).arrayBuffer()).equals(bytes));
    }
    await service.fixity.close();
  },
);

for (const [how, free] of [
  ["not even for the folder", 1],
  ["for the folder only", 2],
] as const) {
  test(
    `on a disk without room for another name, damaged bytes are repaired but not kept: ${how}`,
    needing("a mounted tmpfs"),
    async () => {
      await using outside = await StoreFolder.make();
      await mkdir(outside.path);
      const under = onTmpfs(outside.path, "4m,nr_inodes=60");
      await using child = await StoreProcess.start(outside.path, { under });
      const folder = outside.seenBy(child);
      const made = { size: 300_000, seed: 5 };
      await child.run({ do: "put", ...made });
      await folder.corrupt(digestOf(content(made.size, made.seed)).hex);
      const fillers: string[] = [];
      for (;;) {
        const path = join(folder.path, `filling-${fillers.length}`);
        if (
          !(await writeFile(path, "").then(
            () => true,
            () => false,
          ))
        )
          break;
        fillers.push(path);
      }
      for (const path of fillers.splice(0, free)) await rm(path);
      await assertRepairedButNotKept(child, folder, made);
    },
  );
}

test(
  "on a disk without room for a copy, damaged bytes are repaired but not kept, also not in part",
  needing("a mounted tmpfs", "strace"),
  async () => {
    await using outside = await StoreFolder.make();
    await mkdir(outside.path);
    await using child = await StoreProcess.start(outside.path, { under: onTmpfs(outside.path, "2m"), threads: 1 });
    const folder = outside.seenBy(child);
    const made = { size: 800_000, seed: 5 };
    await child.run({ do: "put", ...made });
    await folder.corrupt(digestOf(content(made.size, made.seed)).hex);
    // Without hard links, the damaged bytes are copied.
    await using _strace = await Strace.attach(child.pid, { calls: ["link"], inject: ["link:error=EPERM"] });
    await assertRepairedButNotKept(child, folder, made);
  },
);

async function assertRepairedButNotKept(
  child: StoreProcess,
  folder: StoreFolder,
  made: { readonly size: number; readonly seed: number },
): Promise<void> {
  const { value, code, logged } = await child.run({ do: "repair", ...made });
  assert.equal(code, undefined);
  assert.deepEqual(value, { existed: false });
  assert.match(logged[0] ?? "", /^the damaged bytes of [0-9a-f]{64} could not be kept for examination$/);
  assert.equal((await child.run({ do: "read", ...made })).value, "whole");
  assert.deepEqual(await readdir(join(folder.path, "damaged")).catch(() => []), []);
  assert.deepEqual(await folder.staged(), []);
}
