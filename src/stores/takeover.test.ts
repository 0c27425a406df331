import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadId } from "../core/upload-id.ts";
import { Lease, Takeovers, type TakeoverTarget, Untaken } from "./takeover.ts";

const GONE = new Error("the client is gone");

/**
 * One upload in a store that several processes share: who holds it, and who has been asked to
 * release it.
 */
class SharedUpload {
  holder: string | null = null;
  readonly requests = new Set<string>();
  looks = 0;
  #names = 0;

  target(): TakeoverTarget<{ readonly holder: string | null }, { readonly lease: Lease }, "ended"> {
    return {
      pollMs: 1,
      look: async () => {
        this.looks += 1;
        return this.holder === "ended" ? new Untaken("ended") : { holder: this.holder };
      },
      ask: async ({ holder }) => void this.requests.add(holder ?? ""),
      withdraw: async (holder) => void this.requests.delete(holder),
      take: async ({ holder }) => {
        if (this.holder !== holder) return null;
        this.#names += 1;
        this.holder = `holder ${this.#names}`;
        return { lease: new Lease(this.holder) };
      },
    };
  }
}

async function leaseOf(taken: Promise<{ readonly lease: Lease } | "ended">): Promise<Lease> {
  const result = await taken;
  return result === "ended" ? assert.fail("the upload has ended") : result.lease;
}

function setUp() {
  const [upload, takeovers, id] = [new SharedUpload(), new Takeovers(), UploadId.random()];
  const take = (signal?: AbortSignal): Promise<Lease> => leaseOf(takeovers.takeOver(id, upload.target(), signal));
  return { upload, takeovers, id, take };
}

test("an upload without a holder is taken after one look", async () => {
  const { upload, take } = setUp();
  const lease = await take();
  assert.deepEqual([lease.name, lease.takeover.aborted, upload.looks], [upload.holder, false, 1]);
});

test("a holder in this process is asked by its signal and not through the store", async () => {
  const { upload, take } = setUp();
  const first = await take();
  first.takeover.addEventListener("abort", () => {
    upload.holder = null;
    first.release();
  });
  await take();
  assert.deepEqual([first.isLost, upload.requests.size], [false, 0]);
  assert.equal((first.takeover.reason as { readonly code: string }).code, "upload-superseded");
});

test("a holder in this process that does not release the upload is fenced off after the grace period", async (t) => {
  const { take } = setUp();
  const first = await take();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const second = take();
  await new Promise(setImmediate);
  t.mock.timers.tick(999);
  await new Promise(setImmediate);
  assert.equal(first.isLost, false);
  t.mock.timers.tick(1);
  await second;
  assert.equal(first.isLost, true);
  assert.throws(() => first.assertHeld(), { code: "upload-superseded" });
});

test("a holder whose release could not be recorded is not waited for", async () => {
  const { upload, take } = setUp();
  const first = await take();
  first.release(true);
  const second = await take();
  assert.deepEqual([upload.holder, upload.requests.size], [second.name, 0]);
});

test("a holder in another process is asked through the store, and the request is withdrawn once it is met", async () => {
  const { upload, take } = setUp();
  upload.holder = "elsewhere";
  const taking = take();
  while (!upload.requests.has("elsewhere")) await new Promise(setImmediate);
  upload.holder = null;
  await taking;
  assert.equal(upload.requests.size, 0);
});

test("an ended upload is reported, and its holder is not asked", async () => {
  const { upload, takeovers, id, take } = setUp();
  const holder = await take();
  upload.holder = "ended";
  assert.equal(await takeovers.takeOver(id, upload.target(), undefined), "ended");
  assert.equal(holder.takeover.aborted, false);
});

test("takeovers of one upload run in the order of their calls, and one that is given up holds up no other", async () => {
  const { upload, take } = setUp();
  upload.holder = "elsewhere";
  const client = new AbortController();
  const order: string[] = [];
  const first = take().then(() => order.push("first"));
  const givenUp = assert.rejects(take(client.signal), GONE);
  const last = take();
  client.abort(GONE);
  await givenUp;
  assert.deepEqual(order, []);
  upload.holder = null;
  await first;
  upload.holder = null;
  const lease = await last;
  assert.deepEqual([order, upload.holder], [["first"], lease.name]);
});
