import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";

import { fileURLToPath } from "node:url";
import type { BlobStore } from "../../src/core/store.ts";
import { digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { settled } from "../helpers/settled.ts";
import { FaultProxy, type SeenRequest, type Watcher } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import type { Job } from "./kill-child.ts";
import { S3Place } from "./place.ts";

const CHILD = fileURLToPath(new URL("kill-child.ts", import.meta.url));
const MIB = 1024 * 1024;
/** Three parts. */
const LARGE = 10 * MIB + 1000;

/**
 * When a process dies: before the server receives a request, while it receives it, or after it has
 * carried it out, before the response.
 */
const MOMENTS = ["before", "within", "after"] as const;
type Moment = (typeof MOMENTS)[number];

interface Way {
  readonly name: string;
  readonly size: number;
  readonly isAnnounced: boolean;
  /** Requests of an undisturbed upload. */
  readonly requests: number;
}

const WAYS: readonly Way[] = [
  { name: "one PUT", size: 10_000, isAnnounced: false, requests: 1 },
  { name: "parts at the final key", size: LARGE, isAnnounced: true, requests: 6 },
  { name: "parts, then a copy", size: LARGE, isAnnounced: false, requests: 8 },
];

/** The result that a process printed; `null` if it was killed before. */
type Result = { readonly existed?: boolean; readonly staged?: number } | null;

interface Child {
  readonly kill: () => Promise<void>;
  readonly result: Promise<Result>;
}

function startChild(job: Job): Child {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(job)], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const output = text(child.stdout);
  return {
    kill: async () => {
      child.kill("SIGKILL");
      await exit;
    },
    result: exit.then(async ([code]) => (code === 0 ? (JSON.parse(await output) as Result) : null)),
  };
}

/** Kills a process at a moment of its n-th request. */
class Killer implements Watcher {
  readonly #nth: number;
  readonly #moment: Moment;
  #child: Child | null = null;
  #count = 0;
  /** The operation of its last request; `null` while it lives. */
  struck: string | null = null;
  #chosen: SeenRequest | null = null;

  constructor(nth: number, moment: Moment) {
    this.#nth = nth;
    this.#moment = moment;
  }

  watch(child: Child): void {
    this.#child = child;
  }

  async arriving(request: SeenRequest): ReturnType<Watcher["arriving"]> {
    this.#count += 1;
    if (this.struck !== null) return "never arrives";
    if (this.#count !== this.#nth) return "passes";
    this.#chosen = request;
    if (this.#moment === "after") return "passes";
    await this.#strike(request);
    return this.#moment === "within" && request.length > 1 ? "arrives half" : "never arrives";
  }

  async done(request: SeenRequest): Promise<void> {
    if (request === this.#chosen) await this.#strike(request);
  }

  async #strike(request: SeenRequest): Promise<void> {
    this.struck = request.operation;
    await this.#child?.kill();
  }
}

async function read(store: BlobStore, bytes: Uint8Array): Promise<"absent" | "whole" | "wrong"> {
  await using reader = await store.open(digestOf(bytes));
  if (reader === null) return "absent";
  return (await readAll(reader)).equals(bytes) ? "whole" : "wrong";
}

async function upload(store: BlobStore, bytes: Uint8Array, isAnnounced: boolean): Promise<void> {
  const digest = digestOf(bytes);
  await using staged = await store.stage(isAnnounced ? { digest, length: bytes.length } : {});
  await writeAll(staged, bytes);
  await staged.commit(digest);
}

/** Processes that are killed during an upload, and what other processes find afterwards. */
export function killSuite(gateway: Gateway): void {
  const { bucket, region, endpoint, accessKey, secretKey } = gateway;
  const common = { bucket, region, accessKey, secretKey, partSize: 5 * MIB };

  void describe("killed processes", () => {
    for (const { name, size, isAnnounced, requests } of WAYS) {
      void test(`${name}: an upload that is killed at any request stores the whole blob or none, and a collection removes the rest`, async (context) => {
        await using proxy = await FaultProxy.start(endpoint);
        await using place = new S3Place(gateway);
        await using witness = place.store();
        const first = new Random().integer(1, 2 ** 30);
        const kept: Buffer[] = [];
        const struck = new Set<string>();

        const uploadKilled = async (nth: number, moment: Moment) => {
          const seed = first + kept.length;
          const bytes = new Random(seed).bytes(size);
          kept.push(bytes);
          const killer = new Killer(nth, moment);
          proxy.watcher = killer;
          const options = { ...common, endpoint: proxy.endpoint, keyPrefix: place.prefix };
          const child = startChild({ options, inner: {}, upload: { size, seed, isAnnounced } });
          killer.watch(child);
          const result = await child.result;
          const found = await read(witness, bytes);
          assert.notEqual(found, "wrong", `after ${killer.struck} ${moment}`);
          return { result, found, struck: killer.struck };
        };

        const { result, found } = await uploadKilled(Infinity, "before");
        assert.deepEqual([result, found], [{ existed: false }, "whole"]);
        assert.equal(proxy.seen.length, requests);
        const hasContent = proxy.seen.map(({ length }) => length > 0);
        const all = Array.from({ length: requests }, (_, index) => index + 1);
        for (const nth of someOf(all, 2)) {
          // Dying before a request is the same as dying after the previous one.
          const moments = MOMENTS.filter(
            (moment) => moment === "after" || (moment === "before" ? nth === 1 : hasContent[nth - 1]),
          );
          for (const moment of moments) {
            const outcome = await uploadKilled(nth, moment);
            assert.equal(outcome.result, null, "the process acknowledged nothing");
            assert(outcome.struck !== null);
            struck.add(outcome.struck);
            await using fresh = place.store();
            await upload(fresh, kept.at(-1) ?? Buffer.alloc(0), isAnnounced);
          }
        }
        const abandoned = await place.leftovers();
        if (requests > 1) assert(abandoned >= (isFullRun ? requests : 1), "there is something to remove");
        const options = { ...common, endpoint, keyPrefix: place.prefix };
        // By the server's clock, it counts as abandoned only after a second.
        const collected = async (): Promise<number> => {
          await startChild({ options, inner: { abandonedAfter: 1_000 } }).result;
          return place.leftovers();
        };
        assert.equal(await settled(collected, (left) => left === 0), 0, "another process's collection removes it");
        if (gateway.collectGarbage === null) context.diagnostic("the server's garbage collection was not run");
        await gateway.collectGarbage?.();
        for (const bytes of kept) assert.equal(await read(witness, bytes), "whole");
        assert.equal((await place.objects()).length, kept.length);
        context.diagnostic(
          `${kept.length - 1} kills at ${[...struck].join(", ")} left ${abandoned} uploads and objects`,
        );
      });
    }
  });
}
