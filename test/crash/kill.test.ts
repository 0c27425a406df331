import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isFullRun } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ROUTES } from "../helpers/upload-routes.ts";
import { Ledger } from "./ledger.ts";

const ROUNDS = isFullRun ? 25 : 8;
const CLIENTS = 8;
const KIB = 1024;

/** Sizes around everything that changes how a file is stored: nothing, one write, one batch, many batches. */
function sizeFrom(random: Random): number {
  const [min, max] = random.pick([
    [0, 0],
    [1, 4 * KIB],
    [1, 64 * KIB],
    [200 * KIB, 300 * KIB],
    [KIB * KIB, 4 * KIB * KIB],
  ] as const);
  return random.integer(min, max);
}

test("a server killed at any moment has kept every promise, and shows nothing half-written", async (t) => {
  const random = new Random();
  t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
  await using folder = await StoreFolder.make();
  const ledger = new Ledger(folder);
  let broken = 0;
  let abandoned = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await using server = await ServerProcess.start({ dir: folder.path });
    await ledger.proveRecent(server);
    // some content is sent by several clients at once, or was sent in an earlier round
    const shared = Array.from({ length: 3 }, (_, index) => Buffer.alloc(300 * KIB, `${index} ${round >> 1}`));
    const client = async (): Promise<void> => {
      for (;;) {
        const content = random.next() < 0.2 ? random.pick(shared) : random.bytes(sizeFrom(random));
        if ((await ledger.upload(server, random.pick(ROUTES), content)) === null) break;
      }
      broken += 1;
    };
    const clients = Promise.all(Array.from({ length: CLIENTS }, client));
    await sleep(random.integer(5, 250));
    // on a busy machine that may be too early for any link
    if (round % 2 === 1) await until(async () => ledger.promised > round + 1);
    assert.deepEqual(await server.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
    await clients;
    abandoned += (await folder.staged()).length;
  }
  await using server = await ServerProcess.start({ dir: folder.path });
  await ledger.proveRecent(server);
  await ledger.proveAll(server);
  assert.equal(broken, ROUNDS * CLIENTS);
  t.diagnostic(`${ledger.promised} links were given, ${broken} uploads cut off, ${abandoned} staged files abandoned`);
  assert.ok(ledger.promised >= ROUNDS, "the servers lived long enough to promise something");
});
