import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { createFixity, type FixityOptions } from "../../index.ts";
import { memoryStore } from "../../memory.ts";
import { Digest } from "../digest.ts";
import type { EventHandledEvent } from "../diagnostics.ts";
import type { DocumentStore } from "../document-store.ts";
import { FixityError } from "../errors.ts";
import type { BlobStore } from "../store.ts";
import { listDeadEvents, takeDeadEvents } from "./dead-events.ts";
import { type Entry, type FixityEvent, formatEntries, formatEntry, newEvent } from "./event.ts";

const HELLO = Buffer.from("hello");
const HELLO_HEX = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const hello = Digest.parse(`sha256:${HELLO_HEX}`);

/** Waits until `check` is true. */
async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await sleep(5);
}

/** A service whose events end up in `received`. */
function serviceOf(store: BlobStore, options: Partial<FixityOptions> = {}, limits: object = {}) {
  const received: FixityEvent[] = [];
  const log: string[] = [];
  const deliver = (event: FixityEvent): void => void received.push(event);
  const fixity = createFixity({
    store,
    log: (message) => log.push(message),
    events: { deliver, interval: 20, ...limits },
    ...options,
  });
  return { fixity, received, log };
}

function documentsIn({ documents }: BlobStore): DocumentStore {
  return documents ?? assert.fail("the store keeps documents");
}

async function documentsOf(store: BlobStore, prefix = "events/"): Promise<string[]> {
  const texts: string[] = [];
  for await (const { name } of documentsIn(store).list(prefix)) {
    const found = await documentsIn(store).read(name);
    if (found !== null) texts.push(found.text);
  }
  return texts;
}

describe("events", () => {
  test("an upload is delivered with its facts, and leaves no entry", async () => {
    const store = memoryStore();
    const { fixity, received } = serviceOf(store, { publicUrl: "https://files.example.com" });
    const owner = { kind: "token", name: "ci" } as const;
    const terms = { owner, kept: null, context: null, requestId: "r1" };
    await fixity.put(HELLO, { filename: "hi.txt", terms });
    await fixity.put(HELLO);
    await until(() => received.length === 2);
    const [first, second] = received;
    assert.deepEqual(first?.data, {
      digest: `sha256:${HELLO_HEX}`,
      url: `https://files.example.com/uploads/${HELLO_HEX}.txt`,
      size: 5,
      type: "text/plain; charset=utf-8",
      name: "hi.txt",
      existed: false,
      principal: { kind: "token", name: "ci" },
    });
    assert.match(first?.id ?? "", /^evt_[0-9a-f]{32}$/);
    assert.ok(Math.abs(Date.parse(first?.timestamp ?? "") - Date.now()) < 60_000);
    assert.ok(second?.type === "blob.stored" && second.data.existed === true && second.data.principal === null);
    assert.notEqual(first?.id, second?.id);
    await until(async () => (await documentsOf(store)).every((text) => !text.includes("evt_")));
    await fixity.close();
    assert.deepEqual(await documentsOf(store), []);
  });

  test("a claim, a resumable upload and a removal are delivered; a failed upload is not", async () => {
    const store = memoryStore();
    const { fixity, received } = serviceOf(store);
    await assert.rejects(fixity.put(HELLO, { digest: Digest.parse(`sha256:${"0".repeat(64)}`) }));
    const upload = await fixity.uploads?.create({ length: 5, filename: "a.bin" });
    assert.ok(upload);
    await fixity.uploads?.append(upload.id, { offset: 0, source: [HELLO], completes: true });
    assert.ok(await fixity.claim(hello, { length: 5 }));
    const claimed = await fixity.uploads?.create({ length: 5, digest: hello });
    assert.ok(claimed?.outcome);
    assert.equal(await fixity.remove(hello), true);
    assert.equal(await fixity.remove(hello), false);
    await until(() => received.length === 4);
    assert.deepEqual(
      received.map(({ type, data }) => [type, "existed" in data ? data.existed : null]),
      [
        ["blob.stored", false],
        ["blob.stored", true],
        ["blob.stored", true],
        ["blob.removed", null],
      ],
    );
    await fixity.close();
  });

  test("the intent is durable before the commit, and the event before the acknowledgement", async () => {
    const store = memoryStore();
    const { fixity } = serviceOf(store, {}, { deliver: () => Promise.reject(new Error("down")) });
    const states: string[][] = [];
    const look = async (): Promise<void> => {
      const texts = await documentsOf(store);
      states.push([...texts.join("").matchAll(/"state":"(\w+)"/g)].map(([, state]) => state ?? ""));
    };
    const stage = store.stage.bind(store);
    store.stage = async (options) => {
      const staged = await stage(options);
      const commit = staged.commit.bind(staged);
      staged.commit = async (...args) => {
        await look();
        return await commit(...args);
      };
      return staged;
    };
    await fixity.put(HELLO);
    await look();
    assert.deepEqual(states, [["intent"], ["ready"]]);
    await fixity.close();
  });

  test("an upload whose intent cannot be recorded fails, and stores nothing", async () => {
    const store = memoryStore();
    const { fixity, received } = serviceOf(store);
    const documents = documentsIn(store);
    const write = documents.write.bind(documents);
    documents.write = () => Promise.reject(new FixityError("store-unavailable", "away"));
    await assert.rejects(fixity.put(HELLO), { code: "store-unavailable" });
    assert.equal(await store.stat(hello), null);
    documents.write = write;
    await fixity.put(HELLO);
    await until(() => received.length === 1);
    await fixity.close();
    assert.equal(received.length, 1);
  });

  test("a commit that fails in doubt is delivered if the blob turns out to be stored", async () => {
    const store = memoryStore();
    const { fixity, received } = serviceOf(store);
    const stage = store.stage.bind(store);
    store.stage = async (options) => {
      const staged = await stage(options);
      const commit = staged.commit.bind(staged);
      staged.commit = async (...args) => {
        await commit(...args);
        throw new FixityError("store-unavailable", "the answer was lost");
      };
      return staged;
    };
    await assert.rejects(fixity.put(HELLO), { code: "store-unavailable" });
    await until(() => received.length === 1);
    assert.ok(received[0]?.type === "blob.stored" && received[0].data.existed === null);
    await fixity.close();
  });

  test("what a closed service leaves is delivered by another one, under the same id", async () => {
    const store = memoryStore();
    const tried = new Set<string>();
    const down = (event: FixityEvent): Promise<void> => {
      tried.add(event.id);
      return Promise.reject(new Error("down"));
    };
    const first = serviceOf(store, {}, { deliver: down });
    await first.fixity.put(HELLO);
    await until(() => tried.size === 1);
    await first.fixity.close();
    assert.equal((await documentsOf(store)).length, 1);
    const { fixity, received } = serviceOf(store);
    await until(() => received.length === 1);
    assert.deepEqual(new Set(received.map(({ id }) => id)), tried);
    await fixity.close();
    assert.deepEqual(await documentsOf(store), []);
  });

  test("several services share the work, and deliver each event about once", async () => {
    const store = memoryStore();
    const services = [1, 2, 3].map(() => serviceOf(store));
    const puts = services.flatMap(({ fixity }, service) =>
      Array.from({ length: 20 }, (_, index) => fixity.put(Buffer.from(`content ${service} ${index}`))),
    );
    await Promise.all(puts);
    const all = () => services.flatMap(({ received }) => received);
    await until(() => new Set(all().map(({ id }) => id)).size === 60);
    for (const { fixity } of services) await fixity.close();
    assert.equal(all().length, 60);
    assert.deepEqual(await documentsOf(store), []);
  });

  test("a receiver that fails gets the event again, and the log says so once", async () => {
    const store = memoryStore();
    let calls = 0;
    const deliver = (): void => {
      calls += 1;
      if (calls < 3) throw new FixityError("event-rejected", "500", { retryAfterSeconds: 0.01 });
    };
    const seen: EventHandledEvent[] = [];
    const note = (event: unknown): void => void seen.push(event as EventHandledEvent);
    subscribe("fixity:event", note);
    const { fixity, log } = serviceOf(store, {}, { deliver });
    await fixity.put(HELLO);
    await until(() => seen.some(({ outcome }) => outcome === "delivered"));
    unsubscribe("fixity:event", note);
    assert.equal(fixity.events?.backlog, 0);
    assert.deepEqual(
      seen.map(({ outcome, attempts }) => [outcome, attempts]),
      [
        ["failed", 1],
        ["failed", 2],
        ["delivered", 3],
      ],
    );
    assert.deepEqual(log, ["an event could not be delivered, and is tried again", "events are delivered again"]);
    await fixity.close();
  });

  test("too many events become dead letters, which can be retried and removed", async () => {
    const store = memoryStore();
    const down = (): Promise<void> => Promise.reject(new Error("down"));
    const { fixity, log } = serviceOf(store, {}, { deliver: down, maxBacklog: 10 });
    for (let index = 0; index < 15; index++) await fixity.put(Buffer.from(`content ${index}`));
    const dead = async (): Promise<Entry[]> => {
      const found: Entry[] = [];
      for await (const { entry } of listDeadEvents(documentsIn(store))) found.push(entry);
      return found;
    };
    await until(async () => (await dead()).length === 5 && fixity.events?.backlog === 10);
    assert.ok(log.some((line) => line.includes("given up")));
    await fixity.close();
    const [first] = await dead();
    const isFirst = ({ event }: Entry): boolean => event.id === first?.event.id;
    assert.equal(await takeDeadEvents(documentsIn(store), { isWanted: isFirst, retries: false }), 1);
    assert.equal(await takeDeadEvents(documentsIn(store), { isWanted: () => true, retries: true }), 4);
    assert.deepEqual(await dead(), []);
    const other = serviceOf(store);
    await until(() => other.received.length === 14);
    await other.fixity.close();
  });

  test("an event that is too old, and cannot be delivered, is given up", async () => {
    const store = memoryStore();
    const down = (): Promise<void> => Promise.reject(new Error("down"));
    const { fixity } = serviceOf(store, {}, { deliver: down, maxAge: 1 });
    await fixity.put(HELLO);
    await until(async () => (await documentsOf(store, "dead-events/")).length === 1);
    assert.equal(fixity.events?.backlog, 0);
    await fixity.close();
    assert.deepEqual(await documentsOf(store), []);
  });

  test("a service that was taken for gone writes its events again", async () => {
    const store = memoryStore();
    let isDown = true;
    const ids = new Set<string>();
    const deliver = ({ id }: FixityEvent): void => {
      if (isDown) throw new FixityError("event-rejected", "500", { retryAfterSeconds: 0.01 });
      ids.add(id);
    };
    const { fixity } = serviceOf(store, {}, { deliver });
    await fixity.put(HELLO);
    for await (const { name } of documentsIn(store).list("events/")) await documentsIn(store).remove(name);
    await fixity.put(Buffer.from("another"));
    assert.equal((await documentsOf(store)).join("").match(/"ready"/g)?.length, 2);
    isDown = false;
    await until(() => ids.size === 2);
    await fixity.close();
  });

  test("more events than fit one document are kept in several", async () => {
    const store = memoryStore();
    const { promise: isBack, resolve } = Promise.withResolvers<void>();
    const ids = new Set<string>();
    const deliver = async ({ id }: FixityEvent): Promise<void> => {
      await isBack;
      ids.add(id);
    };
    const { fixity } = serviceOf(store, {}, { deliver });
    const filename = `${"n".repeat(200)}.txt`;
    await Promise.all(
      Array.from({ length: 400 }, (_, index) => fixity.put(Buffer.from(`content ${index}`), { filename })),
    );
    assert.ok((await documentsOf(store)).length >= 3);
    resolve();
    await until(() => ids.size === 400);
    await until(async () => !(await documentsOf(store)).join("").includes("evt_"));
    await fixity.close();
    assert.deepEqual(await documentsOf(store), []);
  });

  test("intents of a process that is gone are delivered exactly if they have happened", async () => {
    const store = memoryStore();
    await createFixity({ store }).put(HELLO);
    const absent = "0".repeat(64);
    const stored = (hex: string): FixityEvent => {
      const facts = { size: 5, type: "text/plain", name: null, existed: null, principal: null };
      const data = { digest: `sha256:${hex}`, url: `/uploads/${hex}`, ...facts };
      return newEvent({ type: "blob.stored", data });
    };
    const removed = (hex: string): FixityEvent =>
      newEvent({ type: "blob.removed", data: { digest: `sha256:${hex}`, url: `/uploads/${hex}`, size: 5 } });
    const happened = [stored(HELLO_HEX), removed(absent)];
    const since = Date.now() - 3_600_000;
    const lines = [...happened, stored(absent), removed(HELLO_HEX)].map((event) =>
      formatEntry({ state: "intent", since, event }),
    );
    // The process id is above the largest that Linux gives.
    const { owner } = await ownPage(store);
    await documentsIn(store).write(`events/${owner}.0`, formatEntries(lines));
    const { fixity, received } = serviceOf(store);
    await until(async () => received.length === 2 && !(await documentsOf(store)).join("").includes("evt_"));
    await fixity.close();
    assert.deepEqual(new Set(received.map(({ id }) => id)), new Set(happened.map(({ id }) => id)));
    assert.deepEqual(await documentsOf(store), []);
  });

  test("a document of a later version is left alone", async () => {
    const store = memoryStore();
    await documentsIn(store).write("events/later", '{"format":"fixity-events","version":2}\n');
    await documentsIn(store).write("events/broken", '{"format":"fixity-events","version":1}\n{"state":');
    const { fixity, received } = serviceOf(store);
    await fixity.put(HELLO);
    await until(() => received.length === 1);
    await fixity.close();
    assert.equal((await documentsOf(store)).length, 2);
  });

  test("options that cannot work are refused", () => {
    const store = memoryStore();
    const without = Object.create(store, { documents: { value: undefined } }) as BlobStore;
    const deliver = (): void => undefined;
    const secret = `whsec_${Buffer.alloc(24).toString("base64")}`;
    for (const [broken, message] of [
      [{ store: without, events: { deliver } }, /store that keeps documents/],
      [{ store, events: { deliver, timeout: 0 } }, /events.timeout/],
      [{ store, events: { url: "ftp://example.com", secret } }, /http or https/],
      [{ store, events: { url: "https://user:pass@example.com", secret } }, /without user/],
      [{ store, events: { url: "https://example.com", secret: "whsec_c2hvcnQ=" } }, /24 to 64 bytes/],
      [{ store, events: { url: "https://example.com", secret: "" } }, /24 to 64 bytes/],
    ] as const) {
      assert.throws(() => createFixity(broken), { code: "invalid-option", message });
    }
  });
});

/** The name of a process that is gone, on this machine. */
async function ownPage(store: BlobStore): Promise<{ readonly owner: string }> {
  const { fixity } = serviceOf(store, {}, { deliver: () => Promise.reject(new Error("down")) });
  await fixity.put(HELLO);
  let own = "";
  for await (const { name } of documentsIn(store).list("events/")) own = name;
  const [host, , start, random] = own.slice("events/".length).split(".")[0]?.split("-") ?? [];
  await fixity.close();
  for await (const { name } of documentsIn(store).list("events/")) await documentsIn(store).remove(name);
  return { owner: `${host}-4194305-${start}-${random}` };
}
