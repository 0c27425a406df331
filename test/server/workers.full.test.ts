/** A server of several processes whose workers are killed and restarted under load. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Ledger } from "../crash/ledger.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ROUTES } from "../helpers/upload-routes.ts";
import { startWorkers, workersOf } from "./workers.ts";

const ROUNDS = 8;
const CLIENTS = 12;
const KIB = 1024;

test("workers that are killed and restarted under load lose nothing that was acknowledged", async (t) => {
  const random = new Random();
  t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
  await using folder = await StoreFolder.make();
  const ledger = new Ledger(folder);
  const done = new AbortController();
  let broken = 0;
  {
    await using server = await startWorkers({ dir: folder.path, env: { UPLOAD_LOG_LEVEL: "warn" } });
    const client = async (): Promise<void> => {
      while (!done.signal.aborted) {
        const content = random.bytes(random.pick([100, 20 * KIB, 300 * KIB]));
        if ((await ledger.upload(server, random.pick(ROUTES), content)) === null) broken += 1;
      }
    };
    const clients = Promise.all(Array.from({ length: CLIENTS }, client));
    for (let round = 0; round < ROUNDS; round += 1) {
      const promised = ledger.promised;
      if (round % 4 === 3) {
        const before = new Set(workersOf(server).values());
        process.kill(server.pid, "SIGUSR2");
        await until(async () => !Array.from(workersOf(server).values()).some((pid) => before.has(pid)));
      } else {
        const number = random.integer(2, 3);
        const pid = workersOf(server).get(number) ?? assert.fail();
        process.kill(pid, "SIGKILL");
        await until(async () => (workersOf(server).get(number) ?? pid) !== pid);
        // Workers that end again and again within ten seconds would end the server.
        await sleep(random.integer(2000, 3500));
      }
      await until(async () => ledger.promised > promised);
    }
    done.abort();
    await clients;
    assert.deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
  }
  t.diagnostic(`${ledger.promised} links were given, ${broken} uploads cut off`);
  assert.ok(broken > 0 && broken <= ROUNDS * CLIENTS, `${broken}`);
  await using server = await ServerProcess.start({ dir: folder.path });
  await ledger.proveRecent(server);
  await ledger.proveAll(server);
});
