/** Backup and restore of a disk store, by the script of examples/deployment, while a server is used. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { diskStore } from "../../src/disk.ts";
import { runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const SCRIPT = fileURLToPath(new URL("../../examples/deployment/backup.sh", import.meta.url));

const run = promisify(execFile);

/** Uploads small files and large ones, one after another, until it is stopped. */
class Uploader {
  /** The content behind each link that was returned. */
  readonly acknowledged = new Map<string, Buffer>();
  readonly #url: string;
  readonly #running: Promise<void>;
  #isStopped = false;

  constructor(url: string, name: string) {
    this.#url = url;
    this.#running = this.#run(name);
  }

  async #run(name: string): Promise<void> {
    for (let index = 0; !this.#isStopped; index++) {
      const body = Buffer.alloc(index % 10 === 9 ? 700_000 : 3000, `${name} ${index} `);
      const response = await fetch(`${this.#url}/uploads/a.txt`, { method: "PUT", body });
      assert.equal(response.status, 201);
      this.acknowledged.set(response.headers.get("location") ?? "", body);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }
}

void test(
  "a copy that was made during uploads has every link from before, and every document",
  needing("rsync"),
  async () => {
    await using folder = await StoreFolder.make();
    const backup = join(folder.path, "..", "backup");
    const server = await ServerProcess.start({ dir: folder.path });
    const put = (text: string) => fetch(`${server.url}/uploads/a.txt`, { method: "PUT", body: text });
    await put("decays");
    await folder.corrupt(sha256("decays"));
    assert.equal((await fetch(`${server.url}/uploads/${sha256("decays")}.txt`)).status, 500);
    const { documents } = diskStore({ root: folder.path });
    await documents?.write("test/settled", "kept", {});

    const uploaders = ["one", "two"].map((name) => new Uploader(server.url, name));
    await until(async () => uploaders.every(({ acknowledged }) => acknowledged.size > 20));
    const before = uploaders.flatMap(({ acknowledged }) => [...acknowledged]);
    await run(SCRIPT, [folder.path, backup]);
    // a further copy adds what has come since
    await run(SCRIPT, [folder.path, backup]);
    await Promise.all(uploaders.map((uploader) => uploader.stop()));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });

    const restored = join(folder.path, "..", "restored");
    await cp(backup, restored, { recursive: true, preserveTimestamps: true });
    await using elsewhere = await ServerProcess.start({ dir: restored });
    for (const [link, content] of before) {
      const response = await fetch(new URL(link, elsewhere.url));
      assert.ok(content.equals(Buffer.from(await response.arrayBuffer())), link);
    }
    assert.equal((await diskStore({ root: restored }).documents?.read("test/settled"))?.text, "kept");
    assert.equal((await fetch(`${elsewhere.url}/uploads/${sha256("decays")}.txt`)).status, 500);
    const verified = await runCommand(["verify"], { env: { UPLOAD_DIR: restored } });
    assert.equal(verified.code, 1);
    assert.match(verified.out, /: 1 damaged$/m);
    // whoever has the file repairs it
    await fetch(`${elsewhere.url}/uploads/a.txt`, { method: "PUT", body: "decays" });
    assert.equal((await runCommand(["verify"], { env: { UPLOAD_DIR: restored } })).code, 0);
  },
);

void test("damage and losses in a store do not reach its copy, which repairs them", needing("rsync"), async () => {
  await using folder = await StoreFolder.make();
  const backup = join(folder.path, "..", "backup");
  await using server = await ServerProcess.start({ dir: folder.path });
  const texts = ["decays", "is deleted", "stays"];
  for (const body of texts) await fetch(`${server.url}/uploads/a.txt`, { method: "PUT", body });
  await run(SCRIPT, [folder.path, backup]);
  await folder.corrupt(sha256("decays"));
  await rm(folder.blob(sha256("is deleted")));
  await run(SCRIPT, [folder.path, backup]);
  for (const text of texts) {
    assert.equal(await readFile(join(backup, "blobs", sha256(text).slice(0, 2), sha256(text)), "utf8"), text);
  }
  const env = { UPLOAD_DIR: folder.path };
  const all = await runCommand(["verify", "--repair-from", backup], { env });
  assert.match(all.out, new RegExp(`^repaired +sha256:${sha256("decays")}`, "m"));
  const lost = await runCommand(["verify", sha256("is deleted"), "--repair-from", backup], { env });
  assert.equal(lost.code, 0, lost.out + lost.err);
  for (const text of texts) {
    assert.equal(await (await fetch(`${server.url}/uploads/${sha256(text)}.txt`)).text(), text);
  }
});

void test("a backup that fails says so", needing("rsync"), async () => {
  await using folder = await StoreFolder.make();
  await assert.rejects(run(SCRIPT, [folder.path, join(folder.path, "..", "backup")]), { code: 23 });
  await assert.rejects(run(SCRIPT, [folder.path]), /usage: backup\.sh STORE TARGET/);
});
