/** Events of a server over a bucket that is killed at any of its requests. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Attempt, KillScene, type Work, WORKS } from "../events/kills.ts";
import { someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import { type Fate, FaultProxy, type SeenRequest, type Watcher } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

/** Before S3 receives a request, or after it has carried it out, before its response. */
const MOMENTS = ["before", "after"] as const;
type Moment = (typeof MOMENTS)[number];

/** Kills a server at its nth request from now on. */
class ServerKiller implements Watcher {
  readonly #server: ServerProcess;
  readonly #nth: number;
  readonly #moment: Moment;
  #count = 0;
  #chosen: SeenRequest | null = null;
  #isDead = false;

  constructor(server: ServerProcess, nth: number, moment: Moment) {
    this.#server = server;
    this.#nth = nth;
    this.#moment = moment;
  }

  async arriving(request: SeenRequest): Promise<Fate> {
    if (this.#isDead) return "never arrives";
    this.#count += 1;
    if (this.#count !== this.#nth) return "passes";
    this.#chosen = request;
    if (this.#moment === "after") return "passes";
    await this.#kill();
    return "never arrives";
  }

  async done(request: SeenRequest): Promise<void> {
    if (request === this.#chosen) await this.#kill();
  }

  async #kill(): Promise<void> {
    this.#isDead = true;
    await this.#server.stop("SIGKILL");
  }
}

/** Has a server do its work, until its event is delivered and forgotten or the server is dead. */
async function attempt(scene: KillScene, server: ServerProcess, work: Work, watch: () => void): Promise<Attempt> {
  const request = await scene.prepare(work, server);
  watch();
  const made = await request();
  if (made.isAcknowledged) await scene.delivered(made.hex);
  return made;
}

export function eventKillsSuite(gateway: Gateway): void {
  describe("a server over a bucket is killed at any of its requests", () => {
    for (const work of WORKS) {
      test(`${work}: its event arrives once it has happened`, async (t) => {
        const random = new Random();
        t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
        await using place = new S3Place(gateway);
        await using proxy = await FaultProxy.start(gateway.endpoint);
        const env = {
          ...bucketSettings(gateway),
          UPLOAD_BUCKET_PREFIX: place.prefix,
          UPLOAD_BUCKET_ENDPOINT: proxy.endpoint,
        };
        await using scene = await KillScene.start({ dir: "/nowhere/data", env, open: () => place.store() });
        let operations: readonly string[];
        {
          await using server = await scene.startServer();
          const made = await attempt(scene, server, work, () => (proxy.seen.length = 0));
          assert.ok(made.isAcknowledged);
          operations = proxy.seen.map(({ operation }) => operation);
          await scene.prove([made], []);
        }
        const attempts: Attempt[] = [];
        const killed: ServerProcess[] = [];
        const moments = operations.flatMap((_, index) => MOMENTS.map((moment) => ({ nth: index + 1, moment })));
        for (const { nth, moment } of someOf(moments, 2, random)) {
          await using server = await scene.startServer();
          const watch = (): void => void (proxy.watcher = new ServerKiller(server, nth, moment));
          attempts.push(await attempt(scene, server, work, watch));
          await server.stop("SIGKILL");
          proxy.watcher = null;
          killed.push(server);
        }
        await scene.prove(attempts, killed);
        const unanswered = attempts.filter(({ isAcknowledged }) => !isAcknowledged).length;
        t.diagnostic(`${attempts.length} kills, ${unanswered} without an answer: ${operations.join(" ")}`);
      });
    }
  });
}
