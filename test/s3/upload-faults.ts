import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UploadId } from "../../src/core/upload-id.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { digestOf, isStoreFailure, readAll } from "../../src/stores/contract/tools.ts";
import { assertRead, bring, take, takeEnded, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import type { HeldUpload } from "../../src/core/upload-store.ts";
import { type Fault, FaultProxy, type SeenRequest, type Watcher } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
/** Two parts and a tail. */
const LARGE = 11 * MIB + 7;
/** A part and a tail. */
const MEDIUM = 6 * MIB;
const SMALL = 100_000;

/** A way in which an upload is stored in the bucket. */
interface Way {
  readonly name: string;
  readonly size: number;
  readonly isAnnounced: boolean;
  /** Whether the last bytes are committed without being saved first. */
  readonly isDirect?: boolean;
}

const WAYS: readonly Way[] = [
  { name: "less than a part", size: SMALL, isAnnounced: false },
  { name: "parts at the final key", size: LARGE, isAnnounced: true },
  { name: "parts, then a copy", size: LARGE, isAnnounced: false },
  { name: "less than a part, its end not saved", size: SMALL, isAnnounced: false, isDirect: true },
  { name: "parts at the final key, their end not saved", size: LARGE, isAnnounced: true, isDirect: true },
  { name: "parts, then a copy, their end not saved", size: LARGE, isAnnounced: false, isDirect: true },
];

/** The steps of an upload that the store has acknowledged. */
interface Acknowledged {
  isCreated: boolean;
  offset: number;
  isCommitted: boolean;
  isConcluded: boolean;
}

/** One upload, run step by step, and what the store has acknowledged of it. */
class UploadScenario {
  readonly id: UploadId = UploadId.random();
  readonly bytes: Buffer;
  readonly acknowledged: Acknowledged = { isCreated: false, offset: 0, isCommitted: false, isConcluded: false };
  readonly #way: Way;

  constructor(way: Way, seed: number) {
    this.#way = way;
    this.bytes = new Random(seed).bytes(way.size);
  }

  /** Runs the upload in two appends, each of which saves twice. `at` is called before each step. */
  async run(store: BlobStore, at: (step: Step) => void = () => undefined): Promise<void> {
    const uploads = uploadsOf(store);
    const { bytes, id, acknowledged } = this;
    const options: StageOptions = this.#way.isAnnounced ? { digest: digestOf(bytes), length: bytes.length } : {};
    at("create");
    await uploads.create(id, recordOf(0), options);
    acknowledged.isCreated = true;
    const middle = Math.floor(bytes.length / 2);
    for (const [start, end] of [
      [0, middle],
      [middle, bytes.length],
    ] as const) {
      at("hold");
      await using held = await take(uploads, id);
      assert.equal(held.offset, start);
      for (const [from, to] of [
        [start, start + Math.floor((end - start) / 3)],
        [start + Math.floor((end - start) / 3), end],
      ] as const) {
        at("save");
        await bring(held, bytes.subarray(from, to));
        if (this.#way.isDirect === true && to === bytes.length) return await this.#end(held, at);
        await held.save(recordOf(to));
        acknowledged.offset = to;
      }
    }
    at("hold");
    await using held = await take(uploads, id);
    await this.#end(held, at);
  }

  async #end(held: HeldUpload, at: (step: Step) => void): Promise<void> {
    const { bytes, acknowledged } = this;
    const digest = digestOf(bytes);
    at("commit");
    await (this.#way.isDirect === true ? held.commitUnsaved?.(digest, recordOf(bytes.length)) : held.commit(digest));
    acknowledged.isCommitted = true;
    at("conclude");
    await held.conclude("done");
    acknowledged.isConcluded = true;
  }

  /** Continues the upload in another store. Asserts that nothing acknowledged is missing. */
  async resume(store: BlobStore): Promise<void> {
    const uploads = uploadsOf(store);
    const { bytes, id, acknowledged } = this;
    const saved = await uploads.read(id);
    if (saved === null) return assert.equal(acknowledged.isCreated, false, "an acknowledged creation is stored");
    if (saved.record !== "done") {
      await using held = await take(uploads, id);
      assert.equal(held.record, recordOf(held.offset), "bytes and record come from one save");
      assert(held.offset >= acknowledged.offset, "the offset does not go back");
      assert(!acknowledged.isConcluded);
      if (held.offset < bytes.length) {
        await bring(held, bytes.subarray(held.offset));
        await held.save(recordOf(bytes.length));
      }
      await held.commit(digestOf(bytes));
      await held.conclude("done");
    }
    await assertRead(uploads, id, { record: "done", offset: 0 });
    await this.assertKept(store);
  }

  async assertKept(store: BlobStore): Promise<void> {
    await using reader = await store.open(digestOf(this.bytes));
    assert(reader !== null && (await readAll(reader)).equals(this.bytes), "the blob is stored with the right bytes");
  }
}

type Step = "create" | "hold" | "save" | "commit" | "conclude";

/** The record that belongs to an offset. */
function recordOf(offset: number): string {
  return `saved ${offset}`;
}

/** Cuts the store off at the n-th request: for the bucket, the process is dead from then on. */
class Death implements Watcher {
  readonly #nth: number;
  readonly #isAnswerLost: boolean;
  #count = 0;
  /** The operation of the last request; `null` before it. */
  struck: string | null = null;

  constructor(nth: number, moment: "before" | "after") {
    this.#nth = nth;
    this.#isAnswerLost = moment === "after";
  }

  async arriving({ operation }: SeenRequest): ReturnType<Watcher["arriving"]> {
    this.#count += 1;
    if (this.struck !== null) return "never arrives";
    if (this.#count !== this.#nth) return "passes";
    this.struck = operation;
    return this.#isAnswerLost ? "passes" : "never arrives";
  }

  /** Withholds the response to the last request; the connection ends with the process. */
  async done(): Promise<void> {
    if (this.struck !== null) await new Promise(() => undefined);
  }
}

/** Every fault here ends its request, so the timeouts are never reached, however slow the machine is. */
const FEW_ATTEMPTS = { attempts: 4, timeouts: { answer: 60_000, idle: 60_000, completion: 60_000, retries: 20_000 } };

/** Faults that a retry overcomes if they happen once. */
const TRANSIENT: readonly Fault[] = ["reset-before", "reset-within", "lost-answer", "done-500", "slow-down"];

/** Wrong responses, and faults that persist. */
const PERSISTENT_OR_WRONG: readonly (readonly [fault: Fault, times: number])[] = [
  ["status-412", 1],
  ["status-412", 1000],
  ["wrong-etag", 1],
  ["status-403", 1],
  ["lost-answer", 1000],
  ["error-in-200", 1000],
];

/** The operations of each step of an upload of several parts. */
const CALLS: Readonly<Record<Step, readonly string[]>> = {
  create: ["PutObject"],
  hold: ["GetObject", "PutObject"],
  save: ["PutObject", "GetObject", "CreateMultipartUpload", "UploadPart", "DeleteObject"],
  commit: [
    "HeadObject",
    "GetObject",
    "UploadPart",
    "PutObject",
    "CompleteMultipartUpload",
    "CopyObject",
    "DeleteObject",
  ],
  conclude: ["PutObject", "DeleteObject"],
};

export function uploadFaultsSuite(gateway: Gateway): void {
  void describe("faults of resumable uploads", () => {
    for (const way of someOf(WAYS, 1)) {
      void test(`${way.name}: after its holder dies at any request, the next one continues from the last acknowledged offset`, async (context) => {
        await using place = new S3Place(gateway);
        await using witness = place.store({}, { abandonedAfter: -Infinity });
        const random = new Random();
        const first = random.integer(1, 2 ** 30);
        context.diagnostic(`seed ${random.seed}`);
        // at each request, or at every sixth from a random one on
        const stride = isFullRun ? 1 : 6;
        const scenarios: UploadScenario[] = [];
        const dieAt = async (nth: number, moment: "before" | "after"): Promise<string | null> => {
          await using proxy = await FaultProxy.start(gateway.endpoint);
          const death = new Death(nth, moment);
          proxy.watcher = death;
          const scenario = new UploadScenario(way, first + scenarios.length);
          scenarios.push(scenario);
          await using store = place.store({
            endpoint: proxy.endpoint,
            attempts: 1,
            timeouts: { answer: 300, completion: 300 },
          });
          await scenario.run(store).catch((error: unknown) => assert(isStoreFailure(error), String(error)));
          await scenario.resume(witness);
          return death.struck;
        };
        let isOver = false;
        for (let nth = random.integer(1, stride); !isOver; nth += 5 * stride) {
          const points = [0, 1, 2, 3, 4].map((more) => nth + more * stride);
          const moments = points.flatMap((point) => [dieAt(point, "before"), dieAt(point, "after")]);
          isOver = (await Promise.all(moments)).includes(null);
        }
        await witness.collect();
        assert.equal(await place.leftovers(), 0, "a collection removes everything incomplete");
        await gateway.collectGarbage?.();
        for (const scenario of scenarios) if (scenario.acknowledged.isCreated) await scenario.assertKept(witness);
      });
    }

    const steps = Object.entries(CALLS) as [Step, readonly string[]][];
    const places = steps.flatMap(([step, calls]) => calls.map((call) => ({ step, call })));
    for (const { step, call } of someOf(places, 3)) {
      void test(`${step}: ${call} fails once, and the upload succeeds`, async () => {
        const ways = TRANSIENT.flatMap((fault) => [
          { fault, isDirect: false },
          { fault, isDirect: true },
        ]);
        await Promise.all(someOf(ways, 2).map(async (way) => runUnder(gateway, { step, call, times: 1, ...way })));
      });

      void test(`${step}: ${call} gets a wrong response or always fails, and the next holder continues`, async () => {
        await Promise.all(
          someOf(PERSISTENT_OR_WRONG, 2).map(async ([fault, times]) => {
            // a part whose entity tag is wrong cannot be completed, so the upload is lost
            if (step === "save" && call === "UploadPart" && fault === "wrong-etag") return;
            const isDirect = times > 1;
            const failure = await runUnder(gateway, { step, call, fault, times, isDirect, mayFail: true });
            assert(failure === null || isStoreFailure(failure), String(failure));
          }),
        );
      });
    }
  });
}

/**
 * Runs an upload of several parts with a copy at its end, in which an operation fails during a step.
 * Then another store continues it.
 */
async function runUnder(
  gateway: Gateway,
  strike: { step: Step; call: string; fault: Fault; times: number; isDirect: boolean; mayFail?: boolean },
): Promise<unknown> {
  const { step, call, fault, times, isDirect, mayFail = false } = strike;
  await using proxy = await FaultProxy.start(gateway.endpoint);
  await using place = new S3Place(gateway);
  await using witness = place.store({}, { abandonedAfter: -Infinity });
  const scenario = new UploadScenario({ name: "", size: MEDIUM, isAnnounced: false, isDirect }, 7);
  let failure: unknown = null;
  {
    await using store = place.store({ endpoint: proxy.endpoint, ...FEW_ATTEMPTS });
    const at = (next: Step) => {
      if (next === step && !proxy.hasStruck) proxy.strike({ operation: call, fault, times });
    };
    try {
      await scenario.run(store, at);
    } catch (error) {
      if (!mayFail) throw new Error(`the upload did not survive ${fault}`, { cause: error });
      failure = error;
    }
    await proxy.reset();
  }
  await scenario.resume(witness);
  if (scenario.acknowledged.isCreated) {
    const ended = await takeEnded(uploadsOf(witness), scenario.id);
    await ended.remove();
  }
  await witness.collect();
  assert.equal(await place.leftovers(), 0, `${fault}: a collection removes everything incomplete`);
  return failure;
}
