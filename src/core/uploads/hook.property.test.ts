/**
 * The hook `onStored` of resumable uploads against a model, on two instances over one store: whatever
 * requests come in whatever order, however the hook answers, and wherever an instance dies, an
 * acknowledged upload is one whose hook has succeeded, always with the same key, and a hook that has
 * been acknowledged is not called again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { memoryStore } from "../../memory.ts";
import { FixityError } from "../errors.ts";
import { createFixity } from "../fixity.ts";
import type { BlobStore } from "../store.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldUpload } from "../upload-store.ts";
import type { UploadState } from "./upload-record.ts";
import type { Uploads } from "./uploads.ts";

const CONTENT = Buffer.from("0123456789");
const REFUSED = new FixityError("forbidden", "The app refuses.");

/** A call during which an instance dies, before or after the call has its effect. */
interface Death {
  readonly call: "save" | "commit" | "renew" | "conclude";
  readonly when: "before" | "after";
}

const DIED = new Error("The instance died.");

/** The app, the store, and two instances. */
class World {
  readonly store: BlobStore = memoryStore();
  /** The keys of the calls of the hook that have succeeded. */
  readonly succeeded: string[] = [];
  calls = 0;
  hook: "succeeds" | "fails" | "dies" = "succeeds";
  death: Death | null = null;
  readonly #instances: Uploads[];

  constructor() {
    const uploads = this.store.uploads ?? assert.fail("no uploads are kept");
    const hold = uploads.hold.bind(uploads);
    uploads.hold = async (...args) => {
      const held = await hold(...args);
      return held?.status === "held" ? this.#mortal(held) : held;
    };
    this.#instances = [this.#start(), this.#start()];
  }

  instance(index: number): Uploads {
    return this.#instances[index] ?? assert.fail("no such instance");
  }

  restart(index: number): void {
    this.#instances[index] = this.#start();
  }

  #start(): Uploads {
    const { uploads } = createFixity({
      store: this.store,
      onStored: async (_receipt, { key }) => {
        this.calls += 1;
        if (this.hook === "fails") throw REFUSED;
        this.succeeded.push(key);
        if (this.hook === "dies") throw DIED;
      },
    });
    return uploads ?? assert.fail("no uploads are kept");
  }

  #mortal(held: HeldUpload): HeldUpload {
    for (const call of ["save", "commit", "renew", "conclude"] as const) {
      const run = (held[call] as (...args: unknown[]) => Promise<unknown>).bind(held);
      const mortal = async (...args: unknown[]): Promise<unknown> => {
        const death = this.death?.call === call ? this.death : null;
        if (death?.when === "before") throw DIED;
        const result = await run(...args);
        if (death?.when === "after") throw DIED;
        return result;
      };
      Object.defineProperty(held, call, { value: mortal });
    }
    return held;
  }
}

interface Model {
  id: UploadId | null;
  /** The durable offset is at least this. */
  offset: number;
  /** Calls of the hook when the upload was first acknowledged. */
  callsAtEnd: number | null;
}

type Command = fc.AsyncCommand<Model, World>;

/** A request to one instance, which may die or be refused. */
abstract class Request implements Command {
  protected readonly on: number;

  constructor(on: number) {
    this.on = on;
  }

  check({ id }: Readonly<Model>): boolean {
    return id !== null;
  }

  abstract toString(): string;

  abstract send(model: Model, uploads: Uploads, id: UploadId): Promise<UploadState>;

  async run(model: Model, world: World): Promise<void> {
    const id = model.id ?? assert.fail();
    try {
      this.#judge(await this.send(model, world.instance(this.on), id), model, world);
    } catch (error) {
      const isExpected = error === REFUSED || (error instanceof FixityError && error.code === "offset-mismatch");
      if (!isExpected && !isDeath(error)) throw error;
      if (isDeath(error)) world.restart(this.on);
    }
    for (const key of world.succeeded) assert.equal(key, id.hex);
    if (model.callsAtEnd !== null) assert.equal(world.calls, model.callsAtEnd, "a replay does not call the hook");
  }

  #judge({ offset, outcome }: UploadState, model: Model, world: World): void {
    assert.ok(offset >= model.offset, "an acknowledged offset never decreases");
    model.offset = offset;
    if (outcome === null) return;
    assert.ok(!(outcome instanceof Error) && outcome.size === CONTENT.length);
    assert.ok(world.succeeded.length > 0, "the hook has succeeded");
    model.callsAtEnd ??= world.calls;
  }
}

function isDeath(error: unknown): boolean {
  return error === DIED || (error instanceof FixityError && error.cause === DIED);
}

class Append extends Request {
  readonly #length: number;

  constructor(on: number, length: number) {
    super(on);
    this.#length = length;
  }

  override send({ offset }: Model, uploads: Uploads, id: UploadId): Promise<UploadState> {
    const source = [CONTENT.subarray(offset, offset + this.#length)];
    return uploads.append(id, { offset, source, completes: "at-length" });
  }

  override toString(): string {
    return `append(${this.on}, ${this.#length})`;
  }
}

class Find extends Request {
  readonly #retriesHook: boolean;

  constructor(on: number, retriesHook: boolean) {
    super(on);
    this.#retriesHook = retriesHook;
  }

  override async send(_model: Model, uploads: Uploads, id: UploadId): Promise<UploadState> {
    return await uploads.find(id, { retriesHook: this.#retriesHook, seen: await uploads.look(id) });
  }

  override toString(): string {
    return `find(${this.on}, ${this.#retriesHook})`;
  }
}

class Change implements Command {
  readonly #name: string;
  readonly #change: (world: World) => void;

  constructor(name: string, change: (world: World) => void) {
    this.#name = name;
    this.#change = change;
  }

  check(): boolean {
    return true;
  }

  async run(_model: Model, world: World): Promise<void> {
    this.#change(world);
  }

  toString(): string {
    return this.#name;
  }
}

const instances = fc.nat(1);
const deaths = fc.record<Death>({
  call: fc.constantFrom("save", "commit", "renew", "conclude"),
  when: fc.constantFrom("before", "after"),
});

const COMMANDS = [
  fc.tuple(instances, fc.constantFrom(0, 1, 5, 10, 10, 10)).map(([on, length]) => new Append(on, length)),
  fc.tuple(instances, fc.boolean()).map(([on, retriesHook]) => new Find(on, retriesHook)),
  fc
    .constantFrom<World["hook"]>("succeeds", "fails", "fails", "dies")
    .map((hook) => new Change(`hook ${hook}`, (world) => void (world.hook = hook))),
  fc
    .option(deaths, { freq: 2 })
    .map((death) => new Change(`death ${JSON.stringify(death)}`, (world) => void (world.death = death))),
  instances.map((on) => new Change(`restart ${on}`, (world) => world.restart(on))),
];

test("an acknowledged upload is one whose hook has succeeded, wherever an instance dies", async () => {
  const reached = { acknowledged: 0, retried: 0 };
  await fc.assert(
    fc.asyncProperty(fc.commands(COMMANDS, { maxCommands: 40 }), async (commands) => {
      const world = new World();
      const { id } = await world.instance(0).create({ length: CONTENT.length });
      const model: Model = { id, offset: 0, callsAtEnd: null };
      await fc.asyncModelRun(() => ({ model, real: world }), commands);
      // whatever has happened: once nothing fails any more, the upload ends
      world.hook = "succeeds";
      world.death = null;
      await new Find(1, false).run(model, world);
      await new Append(1, CONTENT.length).run(model, world);
      await new Find(0, true).run(model, world);
      assert.notEqual(model.callsAtEnd, null);
      reached.acknowledged += 1;
      if (world.calls > 1) reached.retried += 1;
    }),
    { numRuns: 400 },
  );
  assert.ok(reached.retried > 20, `the hook was called again in ${reached.retried} of ${reached.acknowledged} runs`);
});

test("two instances that complete one upload at the same time both return its outcome or fail", async () => {
  for (let round = 0; round < 20; round += 1) {
    const world = new World();
    world.hook = "fails";
    const { id } = await world.instance(0).create({ length: CONTENT.length });
    const whole = { offset: 0, source: [CONTENT], completes: true };
    await assert.rejects(world.instance(0).append(id, whole), REFUSED);
    world.hook = "succeeds";
    const requests = [0, 1, 0, 1].map((on) => world.instance(on).find(id, { retriesHook: true }));
    for (const result of await Promise.allSettled(requests)) {
      if (result.status === "rejected") assert.equal((result.reason as FixityError).code, "upload-superseded");
      else assert.ok(result.value.outcome !== null && "digest" in result.value.outcome);
    }
    assert.deepEqual(new Set(world.succeeded), new Set([id.hex]));
  }
});
