import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../helpers/random.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { Ledger } from "./ledger.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const random = new Random();

/** An upload that stays half sent until it is finished: so much that some of it lies in a staging file. */
class HalfUpload implements AsyncDisposable {
  readonly content: Buffer = random.bytes(2 * MIB);
  readonly #client: RawClient;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  /** Resolves when the server has staged some of it. */
  static async start(server: ServerProcess, folder: StoreFolder): Promise<HalfUpload> {
    const before = (await folder.staged()).length;
    const half = new HalfUpload(await RawClient.open(server.port));
    await half.#client.send(
      `POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${half.content.length}\r\n\r\n`,
    );
    await half.#client.send(half.content.subarray(0, MIB));
    while ((await folder.staged()).length === before) await new Promise(setImmediate);
    return half;
  }

  async finish(): Promise<number> {
    await this.#client.send(this.content.subarray(MIB));
    return (await this.#client.answer()).status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}

test("the same content at once to two servers over one folder is stored once, and all succeed", async () => {
  await using folder = await StoreFolder.make();
  await using one = await ServerProcess.start({ dir: folder.path });
  await using other = await ServerProcess.start({ dir: folder.path });
  const contents = [0, 1, 100, 64 * KIB, 300 * KIB, MIB, 3 * MIB].map((size) => random.bytes(size));
  for (const content of contents) {
    const told = await Promise.all(
      ROUTES.flatMap((route) => [one, other].map(({ port }) => uploadBy(route, port, content))),
    );
    for (const { link } of told) assert.ok(link?.startsWith(linkTo(content)));
    // 303 does not tell
    assert.ok(told.filter(({ status }) => status === 201).length <= 1, "new once");
    for (const { url } of [one, other]) {
      const response = await fetch(url + linkTo(content));
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(content));
    }
  }
  assert.deepEqual(await folder.wholeBlobs(), new Set(contents.map((content) => sha256(content))));
  assert.deepEqual(await folder.staged(), []);
});

test("a server that starts, is killed or stops does not touch what another is staging", async () => {
  await using folder = await StoreFolder.make();
  await using lasting = await ServerProcess.start({ dir: folder.path });
  await using half = await HalfUpload.start(lasting, folder);
  const [staged] = await folder.staged();
  {
    await using killed = await ServerProcess.start({ dir: folder.path });
    assert.deepEqual(await folder.staged(), [staged], "after the start of another");
    await using _ = await HalfUpload.start(killed, folder);
    await killed.stop("SIGKILL");
    assert.equal((await folder.staged()).length, 2);
  }
  await using stopped = await ServerProcess.start({ dir: folder.path });
  assert.deepEqual(await folder.staged(), [staged], "what the killed one left is removed, and nothing else");
  assert.equal((await stopped.stop("SIGTERM")).code, 0);
  assert.deepEqual(await folder.staged(), [staged], "after the end of another");
  assert.equal((await folder.instances()).length, 1);
  assert.equal(await half.finish(), 201);
  assert.equal((await fetch(lasting.url + linkTo(half.content))).status, 200);
  assert.deepEqual(await folder.staged(), []);
});

test("uploads to one server continue while the other is killed and restarted under load", async (t) => {
  t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
  await using folder = await StoreFolder.make();
  await using lasting = await ServerProcess.start({ dir: folder.path });
  const ledger = new Ledger(folder);
  for (let round = 0; round < 5; round += 1) {
    await using killed = await ServerProcess.start({ dir: folder.path });
    const shared = Array.from({ length: 8 }, () => random.bytes(random.integer(1, 600 * KIB)));
    const doomed = Promise.all(shared.map((content) => ledger.upload(killed, random.pick(ROUTES), content)));
    const safe = Promise.all(shared.map((content) => ledger.upload(lasting, random.pick(ROUTES), content)));
    await Promise.race([doomed, new Promise((resolve) => setTimeout(resolve, random.integer(1, 40)))]);
    await killed.stop("SIGKILL");
    await doomed;
    assert.ok(
      (await safe).every((told) => told !== null),
      "the lasting server has acknowledged everything",
    );
  }
  await using checking = await ServerProcess.start({ dir: folder.path });
  await ledger.proveRecent(checking);
  await ledger.proveAll(checking);
});
