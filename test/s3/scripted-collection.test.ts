/** What garbage collection in a bucket reads and removes, and the number of its requests. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { createFixity, type Fixity, UploadId } from "../../src/index.ts";
import { collectPeriodically } from "../../src/server/collections.ts";
import { createMultipartUpload } from "../../src/stores/s3/api/multipart.ts";
import { Layout } from "../../src/stores/s3/layout.ts";
import type { S3StoreOptions } from "../../src/stores/s3/options.ts";
import { endedState, formatState, newState, type RecordState } from "../../src/stores/s3/uploads/records.ts";
import { until } from "../helpers/settled.ts";
import { failure } from "./scripted-bucket.ts";
import { ScriptedServer } from "./scripted-server.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LIMITS = { partSize: 5 * 1024 * 1024, fixedPartSize: false, maxParts: 10_000, largestPart: 5 * 1024 * 1024 };

/** Several servers with one scripted bucket. */
class Fleet implements AsyncDisposable {
  readonly log: string[] = [];
  readonly #stack: AsyncDisposableStack;
  readonly s3: ScriptedServer;

  private constructor(stack: AsyncDisposableStack, s3: ScriptedServer) {
    this.#stack = stack;
    this.s3 = s3;
  }

  static async start(): Promise<Fleet> {
    const stack = new AsyncDisposableStack();
    return new Fleet(stack, stack.use(await ScriptedServer.start()));
  }

  server(options: Partial<S3StoreOptions> = {}): Fixity {
    const log = (message: string) => void this.log.push(message);
    const store = this.#stack.use(this.s3.store({ log, ...options }));
    return createFixity({ store, uploads: { expiry: DAY } });
  }

  /** Stores a record of an upload that was last saved some time ago by the clock of the bucket. */
  addRecord(age: number, change: Change = {}): UploadId {
    const { ended = true, format = formatState, ahead = 0, state = {}, sealed = ended } = change;
    const id = UploadId.random();
    const saved = Date.now() - age;
    const outcome = ended ? { stored: "0".repeat(64), size: 5, existed: false } : null;
    const facts = {
      name: "a.txt",
      extension: "txt",
      metadata: null,
      length: 5,
      sha256: null,
      sha512: null,
      hashes: null,
    };
    const text = JSON.stringify({ version: 1, ...facts, saved, expires: saved + DAY, sealed, outcome });
    const running = newState(text, LIMITS, {});
    const bytes = format({ ...(ended ? endedState(running, "concluded", text) : running), ...state });
    this.addObject(`uploads/${id.hex}`, bytes, age - ahead);
    return id;
  }

  addObject(key: string, bytes: Buffer, age: number): void {
    this.s3.bucket.put(key, bytes, "application/json");
    const object = this.s3.bucket.objects.get(key) ?? assert.fail();
    this.s3.bucket.objects.set(key, { ...object, modified: new Date(Date.now() - age) });
  }

  /** The number of requests per operation that `run` causes. */
  async count(run: () => Promise<unknown>): Promise<Record<string, number>> {
    this.s3.seen.length = 0;
    await run();
    const counts: Record<string, number> = {};
    for (const operation of this.s3.operations) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  get records(): readonly string[] {
    return [...this.s3.bucket.objects.keys()].filter((key) => key.startsWith("uploads/"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface Change {
  readonly ended?: boolean;
  readonly sealed?: boolean;
  readonly format?: (state: RecordState) => Buffer;
  readonly state?: Partial<RecordState>;
  /** How far the clock of the bucket is ahead, in milliseconds. */
  readonly ahead?: number;
}

/** A record in the format of earlier versions, which did not pad it to a block. */
function earlierFormat(state: RecordState): Buffer {
  return Buffer.from(JSON.stringify(state));
}

/** A record with the size of an ended one, by which a listing shows it as ended. */
function asIfEnded(state: RecordState): Buffer {
  const json = JSON.stringify(state);
  return Buffer.from(json.padEnd(Math.ceil(json.length / 4096) * 4096));
}

/** Sets the `Date` of listings. */
function setClock({ s3 }: Fleet, date: string): void {
  s3.always("ListObjectsV2", (request) => {
    const answer = s3.bucket.answer(request);
    return { ...answer, headers: { ...answer.headers, date } };
  });
}

describe("collections in a bucket", () => {
  test("the listing shows which uploads have ended", async () => {
    await using fleet = await Fleet.start();
    const fixity = fleet.server();
    const uploads = fixity.uploads ?? assert.fail();
    const { id: open } = await uploads.create({});
    await uploads.append(open, { offset: 0, source: [Buffer.from("hello")], completes: false });
    const { id: complete } = await uploads.create({});
    await uploads.append(complete, { offset: 0, source: [Buffer.from("hello")], completes: true });
    const digest = (await Array.fromAsync(fixity.list()))[0]?.digest ?? assert.fail();
    const { id: known } = await uploads.create({ digest, length: 5 });
    const listed = await Array.fromAsync(fixity.store.uploads?.list() ?? []);
    const ended = new Map(listed.map(({ id, isEnded }) => [id.hex, isEnded]));
    assert.deepEqual(
      [open, complete, known].map(({ hex }) => ended.get(hex)),
      [false, true, true],
    );
    for (const { age } of listed) assert.ok(age !== null && age <= 60_000);
    assert.equal((await uploads.find(known)).offset, 5);
    await uploads.cancel(known);
    await assert.rejects(uploads.find(known), { code: "upload-not-found" });
  });

  test("records of an earlier version are read by each collection until they expire, and then removed", async () => {
    await using fleet = await Fleet.start();
    const fixity = fleet.server();
    for (const age of [6 * 60_000, 12 * HOUR, DAY - 60_000]) fleet.addRecord(age, { format: earlierFormat });
    const expired = fleet.addRecord(DAY + 60_000, { format: earlierFormat });
    fleet.addRecord(DAY + 60_000, { format: earlierFormat, ended: false });
    const counts = await fleet.count(() => fixity.collect());
    assert.equal(counts["GetObject"], 5);
    assert.equal(fleet.records.length, 3);
    await assert.rejects(fixity.uploads?.find(expired) ?? assert.fail(), { code: "upload-not-found" });
  });

  test("a record that only looks ended delays the collection of its upload, and nothing else", async () => {
    await using fleet = await Fleet.start();
    const fixity = fleet.server();
    const look = { ended: false, format: asIfEnded };
    const young = fleet.addRecord(HOUR, look);
    const old = fleet.addRecord(DAY + 60_000, look);
    assert.deepEqual((await fixity.collect()).staged, 1);
    assert.equal((await fixity.uploads?.find(young))?.offset, 0);
    await assert.rejects(fixity.uploads?.find(old) ?? assert.fail(), { code: "upload-not-found" });
  });

  test("the content of a record decides whether something abandoned is in use, not its size or age", async () => {
    await using fleet = await Fleet.start();
    const { store } = fleet.server();
    const [named, other] = [1, 2].map(() => `tmp/${randomBytes(16).toString("hex")}`);
    assert(named !== undefined && other !== undefined);
    for (const key of [named, other]) fleet.addObject(key, Buffer.from("staged"), 2 * DAY);
    const upload = { key: named, uploadId: "id-of-before" };
    fleet.addRecord(0, { ended: false, format: asIfEnded, state: { upload } });
    for (let n = 0; n < 50; n += 1) fleet.addRecord(HOUR);
    const counts = await fleet.count(() => store.collect());
    assert.equal(counts["GetObject"], 51);
    assert.ok(fleet.s3.bucket.objects.has(named));
    assert.ok(!fleet.s3.bucket.objects.has(other));
  });

  for (const [what, ahead] of [
    ["two days ahead", 2 * DAY],
    ["two days behind", -2 * DAY],
  ] as const) {
    test(`ages are measured by the clock of the bucket, also if it is ${what}`, async () => {
      await using fleet = await Fleet.start();
      const fixity = fleet.server();
      for (let n = 0; n < 10; n += 1) fleet.addRecord(HOUR, { ahead });
      fleet.addRecord(DAY + 60_000, { ahead });
      setClock(fleet, new Date(Date.now() + ahead).toUTCString());
      const counts = await fleet.count(() => fixity.collect());
      assert.equal(counts["GetObject"], 1);
      assert.equal(fleet.records.length, 10);
    });
  }

  for (const [what, date] of [
    ["tells no time", "whenever"],
    ["tells a time before that of its objects", new Date(0).toUTCString()],
  ] as const) {
    test(`every record is read if the bucket ${what}`, async () => {
      await using fleet = await Fleet.start();
      const fixity = fleet.server();
      for (let n = 0; n < 10; n += 1) fleet.addRecord(HOUR);
      fleet.addRecord(DAY + 60_000);
      setClock(fleet, date);
      const counts = await fleet.count(() => fixity.collect());
      assert.equal(counts["GetObject"], 11);
      assert.equal(fleet.records.length, 10);
    });
  }

  test("a mark that cannot be read or written prevents no collection, and is logged", async () => {
    await using fleet = await Fleet.start();
    const fixity = fleet.server();
    fleet.addRecord(DAY + 60_000);
    fleet.s3.always("PutObject", failure(403, "AccessDenied"));
    fleet.s3.always("HeadObject", failure(403, "AccessDenied"));
    assert.equal(await fixity.store.collectionMark?.age(), null);
    await fixity.collect();
    assert.deepEqual(fleet.records, []);
    assert.equal(fleet.log.length, 2, fleet.log.join("\n"));
  });

  test("what S3 refuses to remove keeps nothing else, and is reported by its key", async () => {
    await using s3 = await ScriptedServer.start();
    const log: string[] = [];
    const options = { log: (message: string) => void log.push(message) };
    await using store = s3.store(options, { abandonedAfter: -Infinity });
    const layout = new Layout("");
    const objects = [layout.newStaging(), layout.newStaging(), layout.newStaging()].toSorted();
    const uploads = [layout.newStaging(), layout.newStaging(), layout.newStaging()].toSorted();
    for (const key of objects) s3.bucket.put(key, Buffer.alloc(10), "image/png");
    for (const key of uploads) await createMultipartUpload(s3.client(), key, { contentType: "image/png" });
    const kept = [objects[1] ?? "", uploads[1] ?? ""];
    const refuse = ({ key }: { readonly key: string | null }) =>
      key !== null && kept.includes(key) ? failure(403, "AccessDenied") : null;
    s3.always("DeleteObject", refuse);
    s3.always("AbortMultipartUpload", refuse);
    assert.deepEqual(await store.collect(), { staged: 4, bytes: 20 });
    for (const key of kept)
      assert.ok(
        log.some((line) => line.includes(key)),
        log.join("\n"),
      );
    assert.equal(log.length, 2);
    for (const operation of ["DeleteObject", "AbortMultipartUpload"]) s3.always(operation, null);
    assert.deepEqual(await store.collect(), { staged: 2, bytes: 10 });
  });

  test("credentials that may not list multipart uploads keep no objects from being removed", async () => {
    await using s3 = await ScriptedServer.start();
    await using store = s3.store({}, { abandonedAfter: -Infinity });
    s3.bucket.put(new Layout("").newStaging(), Buffer.alloc(10), "image/png");
    s3.always("ListMultipartUploads", failure(403, "AccessDenied"));
    await assert.rejects(store.collect(), { code: "store-misconfigured" });
    assert.deepEqual([...s3.bucket.objects.keys()], []);
  });

  test("the mark is stored below the prefix, and no link leads to it", async () => {
    await using fleet = await Fleet.start();
    const fixity = fleet.server({ keyPrefix: "some/where/" });
    const mark = fixity.store.collectionMark ?? assert.fail();
    assert.equal(await mark.age(), null);
    await fixity.collect();
    assert.deepEqual([...fleet.s3.bucket.objects.keys()], ["some/where/collected"]);
    const age = await fleet.server({ keyPrefix: "some/where/" }).store.collectionMark?.age();
    assert.ok(age !== null && age !== undefined && age < 60_000);
    assert.equal(await fleet.server().store.collectionMark?.age(), null, "another prefix is another store");
  });

  test("100,000 finished uploads a day cost three servers what the documentation states", async () => {
    const perDay = 2_400;
    const scale = 100_000 / perDay;
    await using fleet = await Fleet.start();
    fleet.s3.bucket.pageSize = 1000 / scale;
    // the uploads of one hour have expired since the last collection
    const total = perDay + perDay / 24;
    for (let n = 0; n < total; n += 1) fleet.addRecord(((n + 0.5) / perDay) * DAY);
    const stop = new AbortController();
    const running: Promise<void>[] = [];
    const start = () => {
      const options = { periodMs: HOUR, signal: stop.signal, log: { warn: assert.fail } };
      running.push(collectPeriodically(fleet.server(), options));
    };
    const looks = () => fleet.s3.operations.filter((operation) => operation === "HeadObject").length;
    const counts = await fleet.count(async () => {
      start();
      await until(async () => fleet.s3.bucket.objects.has("collected"));
      start();
      start();
      await until(async () => looks() === 3);
      stop.abort();
      await Promise.all(running);
    });
    assert.equal(fleet.records.length, perDay);
    const lists = (counts["ListObjectsV2"] ?? 0) + (counts["ListMultipartUploads"] ?? 0);
    const scaled = (operation: string) => Math.round((counts[operation] ?? 0) * scale);
    const expected = {
      "`ListObjectsV2`, `ListMultipartUploads`": lists,
      "`GetObject`": scaled("GetObject"),
      "`DeleteObject`": scaled("DeleteObject"),
      "`HeadObject`": counts["HeadObject"],
      "`PutObject`": counts["PutObject"],
    };
    assert.deepEqual(await documented(), expected);
  });
});

/** The table in docs/s3.md: requests per hour. */
async function documented(): Promise<Record<string, number>> {
  const text = await readFile(new URL("../../docs/s3.md", import.meta.url), "utf8");
  const [, section = ""] = text.split("| an hour, by all servers together |");
  const rows = section
    .split("\n")
    .slice(0, 7)
    .filter((line) => line.startsWith("| `"));
  const cells = rows.map((line) => line.split("|").map((cell) => cell.trim()));
  return Object.fromEntries(cells.map(([, name = "", count = ""]) => [name, Number(count.replaceAll(",", ""))]));
}
