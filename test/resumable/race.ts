/**
 * Several clients that append to one upload concurrently, on one instance or several. Whichever of
 * them win, every byte is at its place in the end.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { type BlobStore, createFixity, FixityError } from "../../src/index.ts";
import { Random } from "../helpers/random.ts";
import { sha256 } from "../helpers/service.ts";

const SIZE = 200_000;
/** Codes with which a request may fail that another one interrupts, or whose sender disconnects. */
const EXPECTED_CODES = new Set(["upload-superseded", "offset-mismatch", "upload-aborted"]);

type Uploads = NonNullable<ReturnType<typeof createFixity>["uploads"]>;

/** One upload, and three clients that complete or cancel it. */
class Race {
  readonly #instances: readonly Uploads[];
  readonly #random: Random;
  readonly #bytes: Buffer;
  readonly #cancels: boolean;
  /** The largest offset reported so far. */
  #reported = 0;
  #isOver = false;

  constructor(instances: readonly Uploads[], random: Random) {
    this.#instances = instances;
    this.#random = random;
    this.#bytes = random.bytes(SIZE);
    this.#cancels = random.integer(0, 2) === 0;
  }

  async run(): Promise<void> {
    const [first = assert.fail()] = this.#instances;
    const { id } = await first.create(this.#random.integer(0, 1) === 0 ? { length: SIZE } : {});
    await Promise.all([1, 2, 3].map(() => this.#client(id)));
  }

  async #client(id: Parameters<Uploads["find"]>[0]): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#request(this.#random.pick(this.#instances), id);
      } catch (error) {
        const code = error instanceof FixityError ? error.code : null;
        const isGone = code === "upload-not-found" && this.#cancels;
        if (code === null || !(EXPECTED_CODES.has(code) || isGone)) throw error;
      }
      await sleep(this.#random.integer(0, 10));
    }
  }

  async #request(uploads: Uploads, id: Parameters<Uploads["find"]>[0]): Promise<void> {
    const before = this.#reported;
    const { offset, outcome } = await uploads.find(id);
    assert.ok(offset >= before, `${offset} was reported after ${before}`);
    this.#reported = Math.max(this.#reported, offset);
    if (outcome !== null) return this.#end(outcome);
    if (this.#cancels && this.#random.integer(0, 20) === 0) {
      await uploads.cancel(id);
      this.#isOver = true;
      return assert.rejects(uploads.find(id), { code: "upload-not-found" });
    }
    const end = Math.min(SIZE, offset + this.#random.integer(0, 80_000));
    const state = await uploads.append(id, {
      offset,
      source: this.#send(offset, end),
      completes: end === SIZE,
      onProgress: (saved) => (this.#reported = Math.max(this.#reported, saved)),
    });
    this.#reported = Math.max(this.#reported, state.offset);
  }

  async *#send(from: number, end: number): AsyncGenerator<Uint8Array> {
    for (let start = from, next = 0; start < end; start = next) {
      next = Math.min(end, start + this.#random.integer(1, 20_000));
      if (this.#random.integer(0, 2) === 0) await sleep(this.#random.integer(0, 8));
      yield this.#bytes.subarray(start, next);
      if (this.#random.integer(0, 25) === 0) throw new FixityError("upload-aborted", "The sender is gone.");
    }
  }

  #end(outcome: NonNullable<Awaited<ReturnType<Uploads["find"]>>["outcome"]>): void {
    if (outcome instanceof Error) throw outcome;
    assert.equal(outcome.digest.hex, sha256(this.#bytes));
    this.#isOver = true;
  }
}

/** Runs races over stores in one place. The error of a failed one contains the seed. */
export async function race(stores: readonly BlobStore[], rounds = 25): Promise<void> {
  const random = new Random();
  for (let round = 0; round < rounds; round += 1) {
    const instances = stores.map(
      (store) => createFixity({ store }).uploads ?? assert.fail("the store has no resumable uploads"),
    );
    try {
      await new Race(instances, random).run();
    } catch (cause) {
      throw new Error(`round ${round} of TEST_SEED=${random.seed} failed`, { cause });
    }
  }
}
