/** A disk store's folder with damaged files, and what must hold of it whatever happens to the servers over it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createFixity } from "../../src/index.ts";
import { diskStore } from "../../src/disk.ts";
import { type Place as KillPlace, placesOf } from "../disk/upload-stages.ts";
import { someOf } from "../helpers/full-run.ts";
import type { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Strace } from "../helpers/strace.ts";
import { linkTo, uploadBy } from "../helpers/upload-routes.ts";
import { flip } from "./damaging.ts";
import { request, type WireAnswer } from "./wire.ts";

/** Everything that reading, marking and repairing does to files. */
const CALLS: readonly string[] = (
  "openat mkdir read pread64 write pwrite64 writev pwritev fsync fdatasync ftruncate fchmod fchown " +
  "link rename unlink rmdir unlinkat close statx getdents64"
).split(" ");

/** One thread for file work: then the calls of one request are counted one after another. */
const ENV = { UV_THREADPOOL_SIZE: "1" };

/** A file whose stored copy has other bytes. */
interface DamagedFile {
  readonly bytes: Buffer;
  readonly hex: string;
  /** The bytes that are stored in its place. */
  readonly damaged: Buffer;
}

/** A store's folder with damaged files. */
export class MarkedPlace implements AsyncDisposable {
  readonly folder: StoreFolder;
  readonly files: readonly DamagedFile[];

  private constructor(folder: StoreFolder, files: readonly DamagedFile[]) {
    this.folder = folder;
    this.files = files;
  }

  /** Stores `contents` and flips one bit of each. No server knows of it yet. */
  static async make(contents: readonly Buffer[]): Promise<MarkedPlace> {
    const folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path, durability: "none" });
    await using fixity = createFixity({ store });
    const files: DamagedFile[] = [];
    for (const bytes of contents) {
      await fixity.put(bytes);
      const hex = sha256(bytes);
      await flip(folder.blob(hex), bytes.length >> 1);
      files.push({ bytes, hex, damaged: await readFile(folder.blob(hex)) });
    }
    return new MarkedPlace(folder, files);
  }

  /** Reads all files in several ways from a server that may be killed. Asserts that nothing wrong is complete. */
  async read(port: number): Promise<void> {
    for (const { bytes } of this.files) {
      for (const fields of [{}, { Range: "bytes=-9" }, { Range: "bytes=0-" }, {}]) {
        await assertNothingWrong(port, bytes, fields);
      }
    }
  }

  /**
   * What a server that starts after a crash makes of the folder: every file is refused or whole, an
   * upload repairs it, and the damaged bytes are in their place or kept.
   */
  async proveAfterCrash(): Promise<void> {
    for (const { bytes, hex, damaged } of this.files) {
      const found = await readFile(this.folder.blob(hex));
      assert.ok(found.equals(bytes) || found.equals(damaged), "the old file or the new one");
      if (found.equals(bytes)) await this.assertKept(hex, damaged);
    }
    await using store = diskStore({ root: this.folder.path, durability: "none", log: () => null });
    await using service = await Service.start({ authorize: () => {}, store, log: () => null });
    await store.check();
    assert.deepEqual(await this.folder.staged(), []);
    await this.read(service.port);
    for (const { bytes, hex, damaged } of this.files) {
      const wasDamaged = (await readFile(this.folder.blob(hex))).equals(damaged);
      const { status } = await get(service.port, bytes);
      assert.equal(status, wasDamaged ? 500 : 200);
      assert.notEqual((await uploadBy("raw", service.port, bytes)).link, null);
      assert.ok((await readFile(this.folder.blob(hex))).equals(bytes), "an upload repairs it");
      await this.assertKept(hex, damaged);
      const answer = await get(service.port, bytes);
      assert.ok(answer.status === 200 && answer.isComplete && answer.content.equals(bytes));
    }
    await service.fixity.close();
  }

  /** Asserts that the damaged bytes of a file are kept under `damaged/`. */
  async assertKept(hex: string, damaged: Buffer): Promise<void> {
    const path = join(this.folder.path, "damaged");
    const names = existsSync(path) ? await readdir(path) : [];
    const kept = await Promise.all(
      names.filter((name) => name.startsWith(hex)).map((name) => readFile(join(path, name))),
    );
    assert.ok(
      kept.some((bytes) => bytes.equals(damaged)),
      "the damaged bytes are kept",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Something that a client does to a server that may be killed meanwhile. */
export interface Deed {
  readonly make: () => Promise<MarkedPlace>;
  /** Names of calls on the store's files that it is made of, among others. */
  readonly madeOf: readonly string[];
  /** How many threads link files at least. @default 0 */
  readonly linkingThreads?: number;
  /** What is done before the trace begins. */
  readonly prepare: (place: MarkedPlace, server: ServerProcess) => Promise<void>;
  /** It must return when the server is killed. */
  readonly act: (place: MarkedPlace, server: ServerProcess) => Promise<void>;
}

/** Does a deed with a server of its own, which is killed at a call; `null`: it is only traced. */
async function doDeed({ make, prepare, act }: Deed, kill: KillPlace | null) {
  const place = await make();
  try {
    await using server = await ServerProcess.start({ dir: place.folder.path, env: ENV });
    await prepare(place, server);
    const [name, nth] = kill?.split(":") ?? [];
    const inject = kill === null ? [] : [`${name}:signal=SIGKILL:when=${nth}`];
    await using strace = await Strace.attach(server.pid, { calls: CALLS, inject });
    await act(place, server);
    const isKilled = await hasEnded(server);
    const calls = await strace.calls();
    return { place, isKilled, calls };
  } catch (error) {
    await place[Symbol.asyncDispose]();
    throw error;
  }
}

/** A deed that was only traced. Whether several threads link files depends on when requests arrive. */
async function tracedDeed(deed: Deed): ReturnType<typeof doDeed> {
  for (let tries = 1; ; tries += 1) {
    const traced = await doDeed(deed, null);
    const linking = new Set(traced.calls.filter(({ name }) => name === "link").map(({ thread }) => thread));
    if (linking.size >= (deed.linkingThreads ?? 0)) return traced;
    await traced.place[Symbol.asyncDispose]();
    assert.ok(tries < 20, `${linking.size} threads`);
  }
}

/**
 * Kills servers at the calls of a deed, each with a folder of its own, and proves the folders. In a
 * normal run at `most` of them.
 *
 * @returns the calls where it was killed
 */
export async function killAtCalls(deed: Deed, most: number, random: Random): Promise<readonly KillPlace[]> {
  const traced = await tracedDeed(deed);
  await using _ = traced.place;
  assert.equal(traced.isKilled, false);
  await traced.place.proveAfterCrash();
  const places = [...placesOf(traced.calls, traced.place.folder)];
  for (const name of deed.madeOf) {
    assert.ok(
      places.some((place) => place.startsWith(`${name}:`)),
      name,
    );
  }
  const kills: KillPlace[] = [];
  for (const kill of someOf(places, most, random)) {
    const { place, isKilled } = await doDeed(deed, kill);
    await using _ = place;
    if (isKilled) kills.push(kill);
    try {
      await place.proveAfterCrash();
    } catch (cause) {
      throw new Error(`killed at ${kill}`, { cause });
    }
  }
  return kills;
}

async function hasEnded(server: ServerProcess): Promise<boolean> {
  // A server that is killed answers no more.
  return await fetch(`${server.url}/nothing`).then(
    () => false,
    () => server.exit.then(() => true),
  );
}

async function assertNothingWrong(port: number, bytes: Buffer, fields: Record<string, string>): Promise<void> {
  const { status, isComplete, content } = await get(port, bytes, fields);
  if (status === 0 || status >= 400 || !isComplete) return;
  assert.ok(content.equals("Range" in fields && status === 206 ? bytes.subarray(-content.length) : bytes));
}

/** The standalone server refuses host names that it does not know. */
function get(port: number, bytes: Buffer, fields: Record<string, string> = {}): Promise<WireAnswer> {
  return request(port, { target: linkTo(bytes), fields: { Host: `127.0.0.1:${port}`, ...fields } });
}
