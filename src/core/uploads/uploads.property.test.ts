/**
 * The engine against a trivial model: the acknowledged bytes, and whether they were all. Whatever
 * commands run in whatever order, restarts included, the engine agrees with the model.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { memoryStore } from "../../memory.ts";
import { FixityError } from "../errors.ts";
import { createFixity, type Fixity } from "../fixity.ts";
import type { BlobStore } from "../store.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldUpload, UploadStore } from "../upload-store.ts";
import { hasEnded } from "./upload-record.ts";

/** The expected state. */
interface Model {
  id: UploadId | null;
  bytes: number[];
  length: number | null;
  ended: boolean;
}

/** The system under test: services over one store, one after another. */
interface Real {
  readonly store: BlobStore;
  service: Fixity;
}

type Command = fc.AsyncCommand<Model, Real>;

const MAX_SIZE = 60;

function uploadsOf({ service }: Real) {
  return service.uploads ?? assert.fail("the store keeps no uploads");
}

function idOf({ id }: Model): UploadId {
  return id ?? assert.fail("no upload has been created");
}

function serviceOver(store: BlobStore): Fixity {
  return createFixity({ store, maxSize: MAX_SIZE });
}

class Create implements Command {
  readonly #length: number | null;

  constructor(length: number | null) {
    this.#length = length;
  }

  check({ id }: Model): boolean {
    return id === null;
  }

  async run(model: Model, real: Real): Promise<void> {
    const state = await uploadsOf(real).create(this.#length === null ? {} : { length: this.#length });
    assert.deepEqual([state.offset, state.length, state.outcome], [0, this.#length, null]);
    Object.assign(model, { id: state.id, length: this.#length });
  }

  toString(): string {
    return `create(${this.#length})`;
  }
}

interface Appended {
  readonly bytes: number[];
  /** The distance from the right offset. */
  readonly shift: number;
  readonly completes: boolean | "at-length";
  /** The source breaks after this many bytes. */
  readonly breaksAt: number | null;
  readonly whole: boolean;
}

class Append implements Command {
  readonly #sent: Appended;

  constructor(sent: Appended) {
    this.#sent = sent;
  }

  check({ id, ended }: Model): boolean {
    return id !== null && !ended;
  }

  async run(model: Model, real: Real): Promise<void> {
    const { shift, completes, whole } = this.#sent;
    const offset = Math.max(0, model.bytes.length + shift);
    const expected = this.#expect(model, offset);
    const source = this.#source();
    const work = uploadsOf(real).append(idOf(model), { offset, source, completes, whole });
    if (expected.refusal === null) {
      const state = await work;
      assert.equal(hasEnded(state), expected.ends);
      assert.equal(state.offset, expected.bytes.length);
    } else {
      await assert.rejects(work, (error: FixityError) => error.code === expected.refusal || error === BROKEN);
    }
    model.bytes = expected.bytes;
    model.ended = expected.ends;
    if (expected.ends) await this.#lookAt(model, real, expected.refusal);
  }

  #expect(model: Model, offset: number): { refusal: string | null; bytes: number[]; ends: boolean } {
    const { bytes, completes, breaksAt, whole } = this.#sent;
    if (offset !== model.bytes.length) return { refusal: "offset-mismatch", bytes: model.bytes, ends: false };
    const arrived = breaksAt === null ? bytes : bytes.slice(0, breaksAt);
    const after = [...model.bytes, ...arrived];
    const most = Math.min(model.length ?? Infinity, MAX_SIZE);
    if (after.length > most) {
      const refusal = model.length === null ? "size-limit-exceeded" : "inconsistent-length";
      return { refusal, bytes: model.bytes, ends: true };
    }
    if (breaksAt !== null) return { refusal: "broken", bytes: whole ? model.bytes : after, ends: false };
    const isLast = completes === "at-length" ? after.length === model.length : completes;
    if (isLast && model.length !== null && after.length !== model.length) {
      return { refusal: "inconsistent-length", bytes: whole ? model.bytes : after, ends: false };
    }
    return { refusal: null, bytes: after, ends: isLast };
  }

  /** One byte at a time, so that it can break anywhere. */
  async *#source(): AsyncGenerator<Uint8Array> {
    const { bytes, breaksAt } = this.#sent;
    for (const byte of breaksAt === null ? bytes : bytes.slice(0, breaksAt)) yield Uint8Array.of(byte);
    if (breaksAt !== null) throw BROKEN;
  }

  async #lookAt({ bytes }: Model, { service }: Real, refusal: string | null): Promise<void> {
    if (refusal !== null) return;
    const hex = createHash("sha256").update(Buffer.from(bytes)).digest("hex");
    const kept = (await Array.fromAsync(service.list())).map(({ digest }) => digest.hex);
    assert.deepEqual(kept, [hex]);
  }

  toString(): string {
    return `append(${JSON.stringify(this.#sent)})`;
  }
}

const BROKEN = new FixityError("upload-aborted", "The source broke.");

class Find implements Command {
  check({ id }: Model): boolean {
    return id !== null;
  }

  async run(model: Model, real: Real): Promise<void> {
    const state = await uploadsOf(real).find(idOf(model));
    assert.equal(hasEnded(state), model.ended);
    if (!model.ended) assert.deepEqual([state.offset, state.length], [model.bytes.length, model.length]);
  }

  toString(): string {
    return "find";
  }
}

class Restart implements Command {
  check(): boolean {
    return true;
  }

  async run(_model: Model, real: Real): Promise<void> {
    real.service = serviceOver(real.store);
  }

  toString(): string {
    return "restart";
  }
}

class Collect implements Command {
  check(): boolean {
    return true;
  }

  async run(_model: Model, real: Real): Promise<void> {
    assert.deepEqual(await real.service.collect(), { staged: 0, bytes: 0 });
  }

  toString(): string {
    return "collect";
  }
}

class Cancel implements Command {
  check({ id }: Model): boolean {
    return id !== null;
  }

  async run(model: Model, real: Real): Promise<void> {
    await uploadsOf(real).cancel(idOf(model));
    await assert.rejects(uploadsOf(real).find(idOf(model)), { code: "upload-not-found" });
    for await (const { digest } of real.service.list()) await real.service.remove(digest);
    Object.assign(model, { id: null, bytes: [], length: null, ended: false });
  }

  toString(): string {
    return "cancel";
  }
}

const COMMANDS = [
  fc.option(fc.nat(40)).map((length) => new Create(length)),
  fc
    .record({
      bytes: fc.array(fc.nat(255), { maxLength: 25 }),
      shift: fc.oneof(
        { weight: 8, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
      ),
      completes: fc.constantFrom<boolean | "at-length">(true, false, false, "at-length"),
      breaksAt: fc.option(fc.nat(25), { freq: 2 }),
      whole: fc.boolean(),
    })
    .map((sent) => new Append(sent)),
  fc.constant(new Find()),
  fc.constant(new Restart()),
  fc.constant(new Collect()),
  fc.constant(new Cancel()),
];

for (const [what, storeOf] of [
  ["can read saved bytes back", (): BlobStore => memoryStore()],
  ["cannot, so that hash states are saved", (): BlobStore => withoutReading(memoryStore())],
] as const) {
  test(`over a store that ${what}, the engine agrees with the model`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(COMMANDS, { maxCommands: 30 }), async (commands) => {
        const store = storeOf();
        const setup = () => ({
          model: { id: null, bytes: [], length: null, ended: false },
          real: { store, service: serviceOver(store) },
        });
        await fc.asyncModelRun(setup, commands);
      }),
      { numRuns: 300 },
    );
  });
}

/** Like S3, where uploaded parts cannot be read before they are an object. */
function withoutReading(store: BlobStore): BlobStore {
  const { uploads = assert.fail("the store keeps no uploads") } = store;
  const blind: UploadStore = {
    create: (id, record, options) => uploads.create(id, record, options),
    read: (id, signal) => uploads.read(id, signal),
    list: (signal) => uploads.list(signal),
    hold: async (id, signal) => {
      const taken = await uploads.hold(id, signal);
      return taken?.status === "held" ? blinded(taken) : taken;
    },
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === "uploads") return blind;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function blinded(held: HeldUpload): HeldUpload {
  return {
    status: "held",
    record: held.record,
    get offset() {
      return held.offset;
    },
    get nextSave() {
      return held.nextSave;
    },
    takeover: held.takeover,
    write: (bytes) => held.write(bytes),
    save: (record) => held.save(record),
    renew: (record) => held.renew(record),
    commit: (digest) => held.commit(digest),
    conclude: (record) => held.conclude(record),
    remove: () => held.remove(),
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}
