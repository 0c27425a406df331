import assert from "node:assert/strict";
import { test } from "node:test";
import { writeDeadEvents } from "../../src/core/events/dead-events.ts";
import { newEvent } from "../../src/core/events/event.ts";
import { diskStore } from "../../src/disk.ts";
import { createFixity, type FixityEvent } from "../../src/index.ts";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const DIGEST = `sha256:${sha256("removed")}`;

/** A store with three dead letters. */
async function storeOfDeadEvents() {
  const folder = await StoreFolder.make();
  const store = diskStore({ root: folder.path, durability: "none" });
  {
    await using fixity = createFixity({ store });
    await fixity.put(Buffer.from("stored"));
  }
  const data = { digest: DIGEST, url: "/uploads/x", size: 7 };
  const events = Array.from({ length: 3 }, () => newEvent({ type: "blob.removed", data }));
  const documents = store.documents ?? assert.fail();
  await writeDeadEvents(
    documents,
    events.map((event) => ({ state: "ready", since: 0, event })),
  );
  return {
    store,
    ids: events.map(({ id }) => id),
    run: (...args: string[]) => runCommand(["events", ...args], { env: { UPLOAD_DIR: folder.path } }),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test("events lists dead letters, retries them and removes them", async () => {
  await using place = await storeOfDeadEvents();
  const [one = "", two = "", three = ""] = place.ids;
  const listed = await place.run("ls");
  assert.deepEqual([listed.code, listed.err], [0, ""]);
  assert.equal(listed.out.split("\n")[0], `dead    1970-01-01T00:00:00.000Z  ${one}  blob.removed   ${DIGEST}`);
  assert.deepEqual((await place.run("rm", two)).out, "removed 1 event\n");
  assert.deepEqual((await place.run("retry", one)).out, "retried 1 event\n");
  const lines = jsonLines((await place.run("ls", "--json")).out);
  const states = lines.map((line) => [line["status"], (line["event"] as FixityEvent).id]);
  assert.deepEqual(states, [
    ["ready", one],
    ["dead", three],
  ]);
  const received: string[] = [];
  const deliver = ({ id }: FixityEvent): void => void received.push(id);
  await using fixity = createFixity({ store: place.store, events: { deliver, interval: 20 } });
  await until(async () => received.length > 0);
  assert.deepEqual(jsonLines((await place.run("retry", "--all", "--json")).out), [{ status: "retried", events: 1 }]);
  await until(async () => received.length > 1);
  assert.deepEqual(received, [one, three]);
  await fixity.close();
  assert.equal((await place.run("ls")).out, "");
});

test("events names ids that are no dead letters, and refuses requests without ids", async () => {
  await using place = await storeOfDeadEvents();
  const unknown = await place.run("rm", "evt_0", place.ids[0] ?? "");
  assert.deepEqual([unknown.code, unknown.out], [2, "removed 1 event\n"]);
  assert.match(unknown.err, /no dead letter has the id "evt_0"/);
  for (const args of [["rm"], ["retry"], ["ls", "--all"], ["rm", "--all", "evt_0"], ["mv"]]) {
    const { code, out } = await place.run(...args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
  }
  assert.equal((await place.run("ls")).out.trimEnd().split("\n").length, 2);
});
