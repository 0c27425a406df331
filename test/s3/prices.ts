/** What each route costs in requests to S3, through HTTP: the table in docs/s3.md says so, and is compared with what is counted. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { createClient } from "../../src/client/node.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { until } from "../helpers/settled.ts";
import { sha256 } from "../helpers/service.ts";
import { begin, finalAnswer } from "../resumable/client.ts";
import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";
import { type Counts, PART, Till } from "./till.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 86_400_000;
const SAVE_INTERVAL_MS = 5_000;
/** Rows of files of this size are counted in a full run only. */
const HUGE = "64 MiB";
const HEADING = "### Requests to S3";

export function pricesSuite(gateway: Gateway): void {
  void describe("what routes cost in requests to S3", () => {
    void test("is what the documentation says", async (t) => {
      // saves within a long append come by the clock, so how many there are depends on the machine
      t.mock.timers.enable({ apis: ["setInterval"] });
      await using till = await Till.open(gateway);
      await till.count("a collection that finds nothing to do", () => till.service.fixity.collect());
      await plainRoutes(till);
      await resumableRoutes(till);
      await savesOnTheWay(till, () => t.mock.timers.tick(SAVE_INTERVAL_MS));
      await clientRoutes(till);
      await readingRoutes(till);
      await repairs(till);
      await maintenance(till);
      const removed = till.bytes(4 * KIB);
      await till.form(removed, 201);
      await till.count("`DELETE` of a file", () => till.remove(removed));
      const found = new Map([...till.found, ...(await pricesWithEvents(gateway))]);
      const documented = await documentedPrices();
      const lines = [...found].map(([row, counts]) => `| ${row} | ${total(counts)} | ${written(counts)} |`);
      const table = `counted:\n${lines.join("\n")}`;
      const expected = [...documented.keys()].filter((row) => isFullRun || !row.includes(HUGE));
      assert.deepEqual(expected.toSorted(), [...found.keys()].toSorted(), table);
      for (const [row, counts] of found) {
        const { requests, which } = documented.get(row) ?? assert.fail(row);
        const [, bound] = /^at most (\d+)$/.exec(requests) ?? [];
        if (bound === undefined) assert.deepEqual([requests, which], [String(total(counts)), written(counts)], table);
        else assert(total(counts) <= Number(bound), table);
      }
    });
  });
}

async function plainRoutes(till: Till): Promise<void> {
  const [small, part, large] = [till.bytes(4 * KIB), till.bytes(PART), till.bytes(20_000_000)];
  await till.count("form of 4 KiB, new", () => till.form(small, 201));
  await till.count("form of 4 KiB, stored before", () => till.form(small, 200));
  await till.count("form of 4 KiB, stored before and verified", () => till.form(small, 200));
  await till.count("form of 8 MiB, new", () => till.form(part, 201));
  await till.count("form of 20 MB, new", () => till.form(large, 201));
  await till.count("form of 20 MB, stored before", () => till.form(large, 200));
  const declared = till.bytes(20_000_000);
  await till.count("`PUT` to a link, 20 MB, new", () => till.put(declared, 201));
  await till.count("`PUT` to a link, 20 MB, stored before", () => till.put(declared, 200));
  await till.count("`PUT` to a link, 20 MB, stored before and verified", () => till.put(declared, 200));
  const tiny = till.bytes(4 * KIB);
  await till.count("`PUT` to a link, 4 KiB, new", () => till.put(tiny, 201));
}

async function resumableRoutes(till: Till): Promise<void> {
  const ietf = (fields: Readonly<Record<string, string>>, body?: Buffer) => {
    const init = { headers: fields, ...(body !== undefined && { body: body as Uint8Array<ArrayBuffer> }) };
    return till.send("POST", "/uploads", 201, init);
  };
  await till.count("creation, tus", () => till.createTus(3 * PART));
  await till.count("creation, IETF, without content", () => ietf({ "Upload-Complete": "?0" }));
  await till.count("creation, IETF, with 1 MiB", () => ietf({ "Upload-Complete": "?0" }, till.bytes(MIB)));
  const at = await till.createTus(4 * PART);
  await till.count("append of a part, the first one", () => till.patchTus(at, 0, till.bytes(PART)));
  await till.count("append of a part", () => till.patchTus(at, PART, till.bytes(PART)));
  await till.count("append of 1 MiB (a tail)", () => till.patchTus(at, 2 * PART, till.bytes(MIB)));
  await till.count("append of 1 MiB behind a tail", () => till.patchTus(at, 2 * PART + MIB, till.bytes(MIB)));
  await till.count("`HEAD` of an upload that nobody holds", () =>
    till.send("HEAD", at, 200, { headers: { "Tus-Resumable": "1.0.0" } }),
  );
  const one = await till.createTus(KIB);
  await till.count("last append of 1 KiB, nothing before it", () => till.patchTus(one, 0, till.bytes(KIB)));
  const small = await till.createTus(2 * KIB);
  await till.patchTus(small, 0, till.bytes(KIB));
  await till.count("last append of 1 KiB behind a tail", () => till.patchTus(small, KIB, till.bytes(KIB)));
  const large = await till.createTus(PART + MIB + 10 * MIB);
  await till.patchTus(large, 0, till.bytes(PART + MIB));
  await till.count("last append of 10 MiB behind parts and a tail, not declared", () =>
    till.patchTus(large, PART + MIB, till.bytes(10 * MIB)),
  );
  await till.count("`DELETE` of a complete upload", () =>
    till.send("DELETE", large, 204, { headers: { "Tus-Resumable": "1.0.0" } }),
  );
  if (!isFullRun) return;
  const whole = till.bytes(64 * MIB);
  await till.count("64 MiB by tus in pieces of 8 MiB, not declared", () => till.wholeTus(whole));
  const declared = till.bytes(64 * MIB);
  await till.count("64 MiB by tus in pieces of 8 MiB, declared", () => till.wholeTus(declared, sha256(declared)));
  const single = till.bytes(64 * MIB);
  await till.count("64 MiB in one resumable `POST`, not declared", () => ietf({ "Upload-Complete": "?1" }, single));
}

async function clientRoutes(till: Till): Promise<void> {
  const client = createClient({ endpoint: `${till.service.url}/uploads` });
  const small = till.bytes(4 * KIB);
  await till.count("`fixity/client`, 4 KiB, new", () => client.upload(small));
  await till.count("`fixity/client`, 4 KiB, stored before", () => client.upload(small));
  if (isFullRun) {
    const large = till.bytes(64 * MIB);
    await till.count("`fixity/client`, 64 MiB, new", () => client.upload(large));
    await till.count("`fixity/client`, 64 MiB, stored before", () => client.upload(large));
  }
  client.close();
}

async function readingRoutes(till: Till): Promise<void> {
  const bytes = till.bytes(4 * KIB);
  const url = await till.form(bytes, 201);
  const others = [await till.form(till.bytes(4 * KIB), 201), await till.form(till.bytes(MIB), 201)] as const;
  await till.count("`HEAD` of a file up to 256 KiB that is not verified", () => till.send("HEAD", others[0], 200));
  await till.count("`GET` of a range of a file up to 8 MiB that is not verified", () =>
    till.send("GET", others[1], 206, { headers: { Range: "bytes=0-99" } }),
  );
  await till.count("`GET` of a file", () => till.send("GET", url, 200));
  await till.count("`GET` of a range", () => till.send("GET", url, 206, { headers: { Range: "bytes=0-99" } }));
  await till.count("`HEAD` of a file", () => till.send("HEAD", url, 200));
  await till.count("`GET` of a file that is not there", () => till.send("GET", `/uploads/${"0".repeat(64)}`, 404));
  await till.count("`GET` with `?view`", () => till.send("GET", `${url}?view`, 200));
  await till.count("`GET` with an `If-None-Match` that matches", () =>
    till.send("GET", url, 304, { headers: { "If-None-Match": `"${sha256(bytes)}"` } }),
  );
}

/** Uploads of files whose stored copies have other bytes, found by a read of this server. */
async function repairs(till: Till): Promise<void> {
  const damaged = async (size: number): Promise<Buffer> => {
    const bytes = till.bytes(size);
    await till.form(bytes, 201);
    await till.damage(bytes);
    return bytes;
  };
  // The first one teaches the store how its server wants the conditions of documents to be written.
  const lesson = await damaged(KIB);
  await till.refused(lesson);
  await till.form(lesson, 201);
  const [first, ...others] = [await damaged(4 * KIB), await damaged(4 * KIB), await damaged(4 * KIB)] as const;
  await till.count("`GET` that finds a file of 4 KiB damaged", () => till.refused(first));
  await till.count("`GET` of a file that is known to be damaged", () => till.refused(first));
  await till.count("form of 4 KiB, repairs", () => till.form(first, 201));
  for (const bytes of others) await till.refused(bytes);
  await till.count("`PUT` to a link, 4 KiB, repairs", () => till.put(others[0], 201));
  const at = await till.createTus(4 * KIB);
  await till.count("last append of 4 KiB, nothing before it, repairs", () => till.patchTus(at, 0, others[1]));
  const [large, declared] = [await damaged(20_000_000), await damaged(20_000_000)] as const;
  for (const bytes of [large, declared]) await till.refused(bytes);
  await till.count("form of 20 MB, repairs", () => till.form(large, 201));
  await till.count("`PUT` to a link, 20 MB, repairs", () => till.put(declared, 201));
}

/**
 * An append saves what has arrived every five seconds, by an interval that `tick` makes pass. The price of a save is what an
 * append with it costs more than one without it.
 */
async function savesOnTheWay(till: Till, tick: () => void): Promise<void> {
  const append = async (saves: number): Promise<Counts> => {
    const at = new URL(await till.createTus(MIB)).pathname;
    // one packet each, which arrives as a whole or not at all
    const pieces = Array.from({ length: saves + 1 }, () => till.bytes(1_000));
    return till.counted(async () => {
      await using client = await RawClient.open(till.service.port);
      const fields = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
      };
      await begin(client, "PATCH", at, { fields, length: 1_000 * pieces.length });
      for (const piece of pieces.slice(0, saves)) {
        const before = till.seen("PutObject");
        await client.send(piece);
        // nothing is saved before the piece is there, so that one of the ticks saves it, and only one does
        await until(async () => {
          tick();
          return till.seen("PutObject") >= before + 2;
        });
      }
      await client.send(pieces.at(-1) ?? assert.fail());
      assert.equal((await finalAnswer(client, "PATCH")).status, 204);
    });
  };
  const [none, one, two] = [await append(0), await append(1), await append(2)];
  const row = "each save after 5 seconds of an append, in the middle of a part";
  till.enter(row, difference(one, none));
  assert.deepEqual(difference(two, one), till.found.get(row), "each costs the same");
}

async function maintenance(till: Till): Promise<void> {
  const { store } = till.service.fixity;
  await till.count("the check of the store at the start of a server", () => store.check());
  await using place = new S3Place(till.gateway);
  await using stack = new AsyncDisposableStack();
  let url = "";
  await till.count("the start of a server over an empty prefix: the check, and the first collection", async () => {
    ({ url } = stack.use(await till.startServer(place)));
    // the last thing that a collection does
    await until(async () => (await place.objects()).some(({ key }) => key === place.layout.collected));
  });
  await till.count("`GET /readyz`, at most once a second", () => till.send("GET", `${url}/readyz`, 200));
}

/** Each to the end: the event is delivered at once, and removed from the bucket within about a second. */
async function pricesWithEvents(gateway: Gateway): Promise<ReadonlyMap<string, Counts>> {
  // It looks for events of other processes once, at its start.
  await using till = await Till.open(gateway, { events: { deliver: async () => {}, interval: DAY_MS } });
  await until(async () => till.hasLooked);
  const delivered = () => until(() => till.isDelivered());
  // The first document of a process tests how its server wants conditions to be written.
  await till.form(till.bytes(KIB), 201);
  await delivered();
  const count = async (row: string, run: () => Promise<unknown>): Promise<void> =>
    till.count(`${row}, with events`, async () => {
      await run();
      await delivered();
    });
  const [small, tiny] = [till.bytes(4 * KIB), till.bytes(4 * KIB)];
  const [large, declared] = [till.bytes(20_000_000), till.bytes(20_000_000)];
  await count("form of 4 KiB, new", () => till.form(small, 201));
  await count("form of 4 KiB, stored before", () => till.form(small, 200));
  await count("form of 20 MB, new", () => till.form(large, 201));
  await count("`PUT` to a link, 4 KiB, new", () => till.put(tiny, 201));
  await count("`PUT` to a link, 20 MB, new", () => till.put(declared, 201));
  await count("`PUT` to a link, 20 MB, stored before", () => till.put(declared, 200));
  const at = await till.createTus(KIB);
  await count("last append of 1 KiB, nothing before it", () => till.patchTus(at, 0, till.bytes(KIB)));
  await count("`DELETE` of a file", () => till.remove(small));
  return till.found;
}

/** The rows of the table under {@link HEADING}, by their first column. */
async function documentedPrices(): Promise<Map<string, { readonly requests: string; readonly which: string }>> {
  const text = await readFile(new URL("../../docs/s3.md", import.meta.url), "utf8");
  const [, section = ""] = text.split(`${HEADING}\n`);
  const [content = ""] = section.split(/\n##/);
  const rows = content.split("\n").filter((line) => line.startsWith("| "));
  const cells = rows.slice(2).map((line) => line.split("|").map((cell) => cell.trim()));
  return new Map(cells.map(([, row = "", requests = "", which = ""]) => [row, { requests, which }]));
}

/** What `more` has above `less`. */
function difference(more: Counts, less: Counts): Counts {
  const names = new Set([...Object.keys(more), ...Object.keys(less)]);
  const entries = [...names].map((name) => [name, (more[name] ?? 0) - (less[name] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

function total(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** In the order of the alphabet, as the table has it. */
function written(counts: Counts): string {
  const names = Object.keys(counts).toSorted();
  return names.map((name) => (counts[name] === 1 ? name : `${counts[name]} ${name}`)).join(", ");
}
