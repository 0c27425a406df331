import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Principal } from "../access/principal.ts";
import { Digest } from "../core/digest.ts";
import { UploadId } from "../core/upload-id.ts";
import { until } from "../../test/helpers/settled.ts";
import { Channel, type Peer } from "./channel.ts";
import { Membership, type PrimaryMethods, type WorkerMethods } from "./membership.ts";
import { SharedState, WorkerUse } from "./shared-state.ts";

const DIGEST = Digest.fromHex("ab".repeat(32)) ?? assert.fail();
const OWNER = { kind: "token", name: "ci" } as const;

/** One end of a pair of processes that send each other JSON. */
class End extends EventEmitter implements Peer {
  other: End | null = null;

  send(message: object): void {
    const text = JSON.stringify(message);
    setImmediate(() => this.other?.emit("message", JSON.parse(text)));
  }
}

function principal(limits: Principal["limits"]): Principal {
  return { ...OWNER, may: new Set(), limits };
}

/** A worker of `state`. `end` is what the primary does when its process has ended. */
function join(state: SharedState, number: number): { readonly worker: Membership; end(): void } {
  const [inWorker, inPrimary] = [new End(), new End()];
  inWorker.other = inPrimary;
  inPrimary.other = inWorker;
  const methods: Record<string, (argument: never) => unknown> = {};
  const worker = new Membership(new Channel<PrimaryMethods>(inWorker, methods), number, 100);
  Object.assign(methods, worker.methods);
  const use = new WorkerUse();
  state.join(use, new Channel<WorkerMethods>(inPrimary, state.methodsFor(use)));
  return {
    worker,
    end: () => {
      inPrimary.emit("disconnect");
      state.remove(use);
    },
  };
}

test("running requests of a principal are counted over all workers, until they or their worker end", async () => {
  const state = new SharedState(10);
  const [one, two] = [join(state, 1), join(state, 2)];
  const user = principal({ maxRequests: 2 });
  const place = await one.worker.limiter.enter(user);
  await two.worker.limiter.enter(user);
  const refusal = { code: "principal-limit-exceeded", retryAfterSeconds: 1, facts: { limit: 2 } };
  await assert.rejects(async () => one.worker.limiter.enter(user), refusal);
  place?.[Symbol.dispose]();
  await one.worker.limiter.enter(user);
  await assert.rejects(async () => one.worker.limiter.enter(user), refusal);
  two.end();
  await one.worker.limiter.enter(user);
  assert.equal(one.worker.limiter.enter(principal({})), null, "a principal without a limit costs no message");
});

test("bytes of a principal count over all workers, and stay counted when a worker ends", async () => {
  const state = new SharedState(10);
  const [one, two] = [join(state, 1), join(state, 2)];
  const user = principal({ maxBytesPerDay: 100 });
  await one.worker.limiter.addBytes(user, 60);
  one.end();
  await two.worker.limiter.assertBytes(user, 40);
  await assert.rejects(async () => two.worker.limiter.addBytes(user, 41), { code: "principal-limit-exceeded" });
  await two.worker.limiter.addBytes(user, 40);
  assert.equal(two.worker.limiter.addBytes(principal({}), 1000), undefined);
});

test("unfinished uploads are bounded over all workers; ended ones are found by any of them", async () => {
  const state = new SharedState(2);
  const [one, two] = [join(state, 1), join(state, 2)];
  const ended = new Set<string>();
  const bounds = [one, two].map(({ worker }) =>
    worker.memory.openUploads({ isOpen: async ({ hex }) => !ended.has(hex), evict: async () => false }),
  );
  const [first, second, third] = [UploadId.random(), UploadId.random(), UploadId.random()];
  const expires = Date.now() + 60_000;
  const applicant = { expires, client: null, owner: OWNER };
  await bounds[0]?.admit(first, applicant);
  bounds[0]?.note(first, { expires, owner: OWNER }, 0);
  await bounds[1]?.admit(second, applicant);
  await assert.rejects(async () => bounds[1]?.admit(third, applicant), { code: "too-many-uploads" });
  ended.add(first.hex);
  await bounds[1]?.admit(third, applicant);
  // The second and the third were never in the store, and their worker has ended.
  two.end();
  await bounds[0]?.admit(UploadId.random(), applicant);
  await bounds[0]?.admit(UploadId.random(), applicant);
  await assert.rejects(async () => bounds[0]?.admit(third, { ...applicant, maxOpen: 2 }), {
    code: "principal-limit-exceeded",
  });
});

test("shares of clients count what other workers use, also for a worker that joins later", async () => {
  const state = new SharedState(10);
  const [one, two] = [join(state, 1), join(state, 2)];
  for (let count = 0; count < 60; count += 1) one.worker.requests.add("198.51.100.0/24");
  for (let count = 0; count < 10; count += 1) one.worker.requests.add(null);
  for (let count = 0; count < 5; count += 1) two.worker.requests.add("198.51.100.0/24");
  const isExceeded = ({ worker }: typeof one): boolean => worker.requests.isExceededBy("198.51.100.0/24");
  await until(async () => isExceeded(one) && isExceeded(two));
  const late = join(state, 3);
  await until(async () => isExceeded(late));
  assert.equal(late.worker.connections.used, 0);
  one.end();
  await until(async () => two.worker.requests.used === 5 && late.worker.requests.used === 5);
});

test("what one worker has verified all know, also later ones, until one finds other bytes", async () => {
  const state = new SharedState(10);
  const [one, two] = [join(state, 1), join(state, 2)];
  one.worker.memory.verified.add(DIGEST, "identity");
  const knows = ({ worker }: typeof one): boolean => worker.memory.verified.has(DIGEST, "identity");
  await until(async () => knows(two));
  assert.equal(two.worker.memory.verified.has(DIGEST, "another"), false);
  one.end();
  const late = join(state, 3);
  await until(async () => knows(late));
  late.worker.memory.verified.forget(DIGEST);
  await until(async () => !knows(two));
});

test("a verification that was not yet reported is not reported after the blob was found to be different", async () => {
  const state = new SharedState(10);
  const [one, two] = [join(state, 1), join(state, 2)];
  const other = Digest.fromHex("cd".repeat(32)) ?? assert.fail();
  one.worker.memory.verified.add(DIGEST, "identity");
  one.worker.memory.verified.forget(DIGEST);
  one.worker.memory.verified.add(other, "identity");
  await until(async () => two.worker.memory.verified.has(other, "identity"));
  assert.equal(two.worker.memory.verified.has(DIGEST, "identity"), false);
});

test("a call to a process that ends before it answers fails, and so does a later one", async () => {
  const end = new End();
  const channel = new Channel<PrimaryMethods>(end, {});
  const asked = channel.ask("join", 1);
  end.emit("disconnect");
  await assert.rejects(asked, { code: "shutting-down" });
  await assert.rejects(channel.ask("join", 1), { code: "shutting-down" });
  await turn();
});
