import assert from "node:assert/strict";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { CALLS, type Place, placesOf } from "../disk/upload-stages.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Strace } from "../helpers/strace.ts";
import { type Attempt, KillScene, type Work, WORKS } from "./kills.ts";

/** One thread for file work: then a trace's count of a call is the upload's, and not that of one thread of many. */
const ENV = { UV_THREADPOOL_SIZE: "1" };

/** Has a server work under strace until its event is delivered and forgotten, or the server is dead. */
async function attemptTraced(
  scene: KillScene,
  server: ServerProcess,
  { work, inject }: { work: Work; inject?: string },
) {
  const request = await scene.prepare(work, server);
  await using strace = await Strace.attach(server.pid, { calls: CALLS, ...(inject && { inject: [inject] }) });
  const attempt = await request();
  // A server that has answered may be killed while it delivers.
  if (attempt.isAcknowledged) await scene.delivered(attempt.hex);
  return { attempt, calls: await strace.calls() };
}

for (const work of WORKS) {
  test(
    `a server on a disk is killed at any call of a${work.startsWith("u") ? "n" : ""} ${work}: its event arrives once it has happened`,
    needing("strace"),
    async (t) => {
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      await using folder = await StoreFolder.make();
      const place = { dir: folder.path, env: {}, open: () => diskStore({ root: folder.path }) };
      await using scene = await KillScene.start(place);
      let places: ReadonlySet<Place>;
      {
        await using server = await scene.startServer(ENV);
        const { attempt, calls } = await attemptTraced(scene, server, { work });
        assert.ok(attempt.isAcknowledged);
        await scene.prove([attempt], []);
        assert.deepEqual(await server.stop(), { code: 0, signal: null });
        places = placesOf(calls, folder);
      }
      const attempts: Attempt[] = [];
      const killed: ServerProcess[] = [];
      for (const place of someOf([...places], 2, random)) {
        const [name, nth] = place.split(":");
        await using server = await scene.startServer(ENV);
        const inject = `${name}:signal=SIGKILL:when=${nth}`;
        const { attempt } = await attemptTraced(scene, server, { work, inject });
        attempts.push(attempt);
        await server.stop("SIGKILL");
        killed.push(server);
      }
      await scene.prove(attempts, killed);
      const unanswered = attempts.filter(({ isAcknowledged }) => !isAcknowledged).length;
      t.diagnostic(
        `${attempts.length} kills of ${places.size}, ${unanswered} without an answer: ${[...places].join(" ")}`,
      );
      if (isFullRun) assert.ok(unanswered >= 5);
    },
  );
}
