/**
 * This version and the one before over one store, as during a rolling upgrade: each continues,
 * reads, repairs and removes what the other has stored, and no collection removes the other's work.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runCommand } from "../helpers/command.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { resumeRounds } from "../resumable/rounds.ts";
import { bucketSettings, startGateway, whyNoGateway } from "../s3/gateway.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The last commit without metrics, events, blocks and workers. Needs the history of the repository. */
const VERSION_BEFORE = "6dbd677";

const TOKEN = "token-of-an-administrator";

const run = promisify(execFile);
const random = new Random();

let folder = "";
let mainBefore = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-versions-"));
  const old = join(folder, "before");
  await mkdir(old);
  await run("sh", ["-c", `git archive ${VERSION_BEFORE} src package.json | tar -x -C "$0"`, old], { cwd: ROOT });
  await symlink(join(ROOT, "node_modules"), join(old, "node_modules"));
  mainBefore = join(old, "src/cli/main.ts");
});

after(async () => rm(folder, { recursive: true, force: true }));

/** Both versions over one store. */
interface Place {
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
}

const startNew = ({ dir, env }: Place): Promise<ServerProcess> => ServerProcess.start({ dir, env });
const startOld = ({ dir, env }: Place): Promise<ServerProcess> => ServerProcess.start({ dir, env, main: mainBefore });

async function put(server: ServerProcess, content: Buffer, headers: Record<string, string> = {}): Promise<string> {
  const body = new Uint8Array(content);
  const response = await fetch(`${server.url}/uploads/a.bin`, { method: "PUT", body, headers });
  assert.ok(response.ok, await response.clone().text());
  return new URL(response.headers.get("location") ?? "", server.url).pathname;
}

async function read(server: ServerProcess, link: string): Promise<string> {
  const response = await fetch(server.url + link);
  const content = Buffer.from(await response.arrayBuffer());
  return response.status === 200 ? sha256(content) : String(response.status);
}

function collect(main: string, { dir, env }: Place): Promise<unknown> {
  return run(process.execPath, [main, "gc"], { env: { PATH: process.env["PATH"], UPLOAD_DIR: dir, ...env } });
}

function suite(name: string, { rounds, place, skip }: SuiteOptions): void {
  describe(name, { skip: skip ?? false }, () => {
    test("each version reads, claims and removes what the other has stored", async () => {
      const { dir, env } = await place();
      // A cache may answer for ten seconds after another instance has removed a blob.
      const at = { dir, env: { ...env, UPLOAD_TOKENS: `admin=${TOKEN} may=create|remove`, UPLOAD_CACHE: "0" } };
      const headers = { Authorization: `Bearer ${TOKEN}` };
      await using old = await startOld(at);
      await using current = await startNew(at);
      for (const size of [0, 10, 300_000, 12_000_000]) {
        for (const [writer, reader] of [
          [old, current],
          [current, old],
        ] as const) {
          const content = random.bytes(size);
          const link = await put(writer, content, headers);
          assert.equal(await read(reader, link), sha256(content));
          const claim = await fetch(reader.url + link, { method: "PUT", body: new Uint8Array(content), headers });
          assert.equal(claim.status, 200, "the other version finds it stored");
          const removal = await fetch(reader.url + link, { method: "DELETE", headers });
          assert.equal(removal.status, 204);
          assert.equal((await fetch(writer.url + link, { method: "HEAD" })).status, 404);
        }
      }
    });

    test("an upload moves between the versions, through cuts and kills", async () => {
      const at = await place();
      let started = 0;
      const start = (): Promise<ServerProcess> => ((started += 1) % 2 === 0 ? startOld(at) : startNew(at));
      await resumeRounds({ rounds, start });
    });

    test("a collection by either version keeps the running uploads of the other", async () => {
      const at = await place();
      await using old = await startOld(at);
      await using current = await startNew(at);
      const content = random.bytes(6_000_000);
      for (const [server, other, main] of [
        [old, current, fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))],
        [current, old, mainBefore],
      ] as const) {
        const created = await fetch(`${server.url}/uploads`, {
          method: "POST",
          headers: { "Upload-Complete": "?0" },
          body: new Uint8Array(content.subarray(0, 5_500_000)),
        });
        const location = new URL(created.headers.get("location") ?? "", server.url).pathname;
        await collect(main, at);
        const ended = await fetch(other.url + location, {
          method: "PATCH",
          headers: {
            "Content-Type": "application/partial-upload",
            "Upload-Offset": "5500000",
            "Upload-Complete": "?1",
          },
          body: new Uint8Array(content.subarray(5_500_000)),
        });
        assert.equal(ended.status, 201, await ended.text());
        assert.equal(await read(server, `/uploads/${sha256(content)}`), sha256(content));
        content[0] = (content[0] ?? 0) ^ 1;
      }
    });
  });
}

interface SuiteOptions {
  readonly rounds: number;
  readonly place: () => Promise<Place>;
  readonly skip?: string | null;
}

suite("on a disk", { rounds: 40, place: async () => ({ dir: await mkdtemp(join(folder, "store-")), env: {} }) });

test("on a disk: damage that one version has found is damage for the other, and either repairs it", async () => {
  await using store = await StoreFolder.make();
  const at = { dir: store.path, env: {} };
  await using old = await startOld(at);
  await using current = await startNew(at);
  for (const [finder, other] of [
    [old, current],
    [current, old],
  ] as const) {
    const content = random.bytes(1000);
    const link = await put(finder, content);
    await store.corrupt(sha256(content));
    assert.equal(await read(finder, link), "500");
    assert.equal(await read(other, link), "500");
    await put(other, content);
    assert.equal(await read(other, link), sha256(content));
    assert.equal(await read(finder, link), sha256(content));
  }
});

test("on a disk: a block holds here, and the version before neither knows nor removes it", async () => {
  await using store = await StoreFolder.make();
  const at = { dir: store.path, env: { UPLOAD_CACHE: "0" } };
  await using old = await startOld(at);
  const content = random.bytes(1000);
  const link = await put(old, content);
  const blocked = await runCommand(["block", link, "--reason", "a test"], { env: { UPLOAD_DIR: at.dir } });
  assert.equal(blocked.code, 0, blocked.err);
  await collect(mainBefore, at);
  await using current = await startNew(at);
  assert.equal(await read(current, link), "451");
  assert.equal(await read(old, link), sha256(content));
});

const missing = whyNoGateway();
const gateway = missing === null ? await startGateway() : null;
after(async () => gateway?.stop());
suite("in a bucket", {
  rounds: 12,
  skip: missing,
  place: async () => ({
    dir: "/nowhere/data",
    env: {
      ...(gateway === null ? {} : bucketSettings(gateway)),
      UPLOAD_BUCKET_PREFIX: `versions-${random.integer(0, 1e9)}`,
      UPLOAD_BUCKET_PART_SIZE: "5MiB",
    },
  }),
});
