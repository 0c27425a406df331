import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { failure, type ScriptedAnswer, type ScriptedRequest } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer, type Step } from "../../../../test/s3/scripted-server.ts";
import { UploadId } from "../../../core/upload-id.ts";
import { failedWith } from "../api/s3-error.ts";
import { Conditions } from "../conditions.ts";
import { Layout } from "../layout.ts";
import {
  endedState,
  formatState,
  isEndedSize,
  newState,
  newToken,
  parseState,
  Records,
  type RecordState,
  type Replaced,
} from "./records.ts";

const id = UploadId.random();
const LIMITS = { partSize: 1, fixedPartSize: false, maxParts: 1, largestPart: 1 };
const REFUSED = failure(412, "PreconditionFailed");

type Work = (records: Records, server: ScriptedServer, another: Records, log: readonly string[]) => Promise<void>;

/** Two sets of records over one server, as of two processes. */
async function over(work: Work): Promise<void> {
  await using server = await ScriptedServer.start();
  const clients = [server.client(), server.client()] as const;
  const layout = new Layout("");
  const log: string[] = [];
  const [one, other] = clients.map((client) => {
    const conditions = new Conditions(client, layout, (message) => log.push(message));
    return new Records(client, layout, conditions);
  });
  assert(one !== undefined && other !== undefined);
  await work(one, server, other, log);
  for (const client of clients) await client.destroy();
}

function stateOf(text: string): RecordState {
  return { ...newState(text, LIMITS, {}), revision: newToken() };
}

/** Creates the record and returns its entity tag. */
async function created(records: Records): Promise<string> {
  assert.notEqual(await records.create(id, stateOf("first")), null);
  return tagIn(await records.read(id));
}

function tagIn(found: { readonly etag: string } | null): string {
  assert(found !== null);
  return found.etag;
}

function tagOf(outcome: Replaced): string {
  assert(outcome.isWritten);
  return outcome.etag;
}

async function textOf(records: Records): Promise<string | undefined> {
  return (await records.read(id))?.state.text;
}

/** The `If-Match` fields of all replacements of records. */
function conditions({ seen }: ScriptedServer): readonly string[] {
  return seen
    .filter(({ key }) => key.startsWith("uploads/"))
    .map(({ headers }) => headers["if-match"])
    .filter((condition) => condition !== undefined);
}

/** Gives every conditional PUT the same answer, and all other requests the right one. */
const toEveryCondition =
  (answer: ScriptedAnswer) =>
  ({ headers }: ScriptedRequest): Step =>
    headers["if-match"] === undefined && headers["if-none-match"] === undefined ? null : answer;

/** Refusals of conditions that a server does not support or never meets. */
const REFUSALS: readonly ScriptedAnswer[] = [
  REFUSED,
  failure(409, "ConditionalRequestConflict"),
  failure(409, "OperationAborted"),
  { status: 409 },
  failure(501, "NotImplemented"),
  failure(400, "NotImplemented"),
  failure(400, "InvalidArgument"),
  failure(400, "InvalidRequest"),
  { status: 400 },
  { status: 405 },
];

void describe("records of uploads", () => {
  void test("a record is created once", async () =>
    over(async (records, _server, another) => {
      await created(records);
      assert.equal(await another.create(id, stateOf("another")), null);
      assert.equal(await textOf(records), "first");
    }));

  void test("a creation whose answer was lost is recognized by its revision", async () =>
    over(async (records, server) => {
      server.once("PutObject", { done: "close" });
      await created(records);
      assert.equal(server.seen.filter(({ operation }) => operation === "PutObject").length, 2);
    }));

  void test("a creation that is refused although there is no record is repeated without the condition", async () =>
    over(async (records, server) => {
      server.once("PutObject", REFUSED);
      await created(records);
      assert.equal(await textOf(records), "first");
    }));

  void test("a creation that is refused with and without the condition fails", async () =>
    over(async (records, server) => {
      server.always("PutObject", REFUSED);
      await assert.rejects(records.create(id, stateOf("first")), (error) => failedWith(error, 412));
    }));

  void test("only the writer that has read the latest record replaces it", async () =>
    over(async (records, server, another) => {
      const first = await created(records);
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      const late = await another.replace(id, first, stateOf("late"));
      assert(!late.isWritten);
      assert.deepEqual([late.current?.etag, late.current?.state.text], [second, "second"]);
      tagOf(await another.replace(id, second, stateOf("third")));
      assert.equal(await textOf(records), "third");
      assert.deepEqual(conditions(server), [first, first, second]);
    }));

  void test("a replacement whose answer was lost is recognized by its revision", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.once("PutObject", { done: "close" });
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.equal(await textOf(records), "third");
    }));

  void test("a replacement whose answer was lost, and that was replaced since, counts as not written", async () =>
    over(async (records, server) => {
      const first = await created(records);
      const [stored] = server.bucket.objects.entries();
      assert(stored !== undefined);
      const [key, object] = stored;
      let attempts = 0;
      server.always("PutObject", () => {
        attempts += 1;
        if (attempts === 1) return { done: failure(500, "InternalError") };
        server.bucket.objects.set(key, { ...object, bytes: formatState(stateOf("third")), etag: '"third"' });
        return null;
      });
      const outcome = await records.replace(id, first, stateOf("second"));
      assert(!outcome.isWritten);
      assert.equal(outcome.current?.state.text, "third");
    }));

  void test("a removed record is not written again", async () =>
    over(async (records, _server, another) => {
      const first = await created(records);
      await another.remove(id);
      assert.deepEqual(await records.replace(id, first, stateOf("second")), { isWritten: false, current: null });
      assert.equal(await records.read(id), null);
    }));

  void test("a server that compares bare tags gets bare tags from then on", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.always("PutObject", ({ headers }) => (headers["if-match"]?.startsWith('"') === true ? REFUSED : null));
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      const late = await records.replace(id, first, stateOf("late"));
      assert.equal(late.isWritten, false);
      tagOf(await records.replace(id, second, stateOf("third")));
      const bare = (tag: string) => tag.replaceAll('"', "");
      assert.deepEqual(conditions(server), [first, bare(first), bare(first), bare(second)]);
      assert.equal(await textOf(records), "third");
    }));

  void test("a 412 without a reason is retried, and the form of the tag is kept", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.once("PutObject", REFUSED, REFUSED);
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.deepEqual(conditions(server).slice(2), [first, second]);
    }));

  void test("a server that answers every PUT with 412 makes the replacement fail, and nothing is written", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.always("PutObject", REFUSED);
      await assert.rejects(records.replace(id, first, stateOf("second")), (error) => failedWith(error, 412));
      assert.equal(await textOf(records), "first");
    }));

  for (const refusal of REFUSALS) {
    const name = `${refusal.status} ${/<Code>(\w+)/.exec(String(refusal.body))?.[1] ?? "without a code"}`;
    void test(`a server that answers ${name} to every condition: the record is read before it is replaced, and a warning says so`, async () =>
      over(async (records, server, another, log) => {
        server.always("PutObject", toEveryCondition(refusal));
        const first = await created(records);
        assert.equal(await another.create(id, stateOf("another")), null);
        const second = tagOf(await records.replace(id, first, stateOf("second")));
        assert.equal((await another.replace(id, first, stateOf("late"))).isWritten, false);
        const third = tagOf(await another.replace(id, second, stateOf("third")));
        assert.equal(await textOf(records), "third");
        assert.match(log.join("\n"), /the bucket scripted at 127\.0\.0\.1:\d+ refuses every If-Match/);
        const warnings = log.length;
        server.seen.length = 0;
        tagOf(await records.replace(id, third, stateOf("fourth")));
        assert.deepEqual(conditions(server), [], "the condition is left out from then on");
        assert.equal(log.length, warnings, "the warning is logged once");
        assert.deepEqual([...server.bucket.objects.keys()], [`uploads/${id.hex}`], "the proof leaves nothing behind");
      }));
  }

  void test("a versioned bucket on Ceph: If-Match alone is never met, in either form", async () =>
    over(async (records, server, another) => {
      server.always("PutObject", ({ headers }) => (headers["if-match"] === undefined ? null : REFUSED));
      const first = await created(records);
      assert.equal(await another.create(id, stateOf("another")), null);
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      assert.equal((await records.replace(id, first, stateOf("late"))).isWritten, false);
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.equal(await textOf(records), "third");
    }));

  void test("a newer writer and stale reads are not taken for a server without conditions", async () =>
    over(async (records, server, another, log) => {
      const first = await created(records);
      const stale = server.bucket.objects.get(`uploads/${id.hex}`);
      assert(stale !== undefined);
      tagOf(await another.replace(id, first, stateOf("second")));
      // Eventual consistency: three reads return the previous record.
      const old = { status: 200, headers: { etag: stale.etag }, body: stale.bytes };
      server.once("GetObject", old, old, old);
      const outcome = await records.replace(id, first, stateOf("late"));
      assert(!outcome.isWritten);
      assert.equal(outcome.current?.state.text, "second");
      assert.equal(await textOf(records), "second");
      assert.deepEqual(log, []);
    }));

  void test("of many writers that race for a record, exactly one replaces each version", async () =>
    over(async (records, server, another, log) => {
      let etag = await created(records);
      for (let round = 0; round < 10; round += 1) {
        const outcomes = await Promise.all(
          Array.from({ length: 16 }, (_, n) =>
            (n % 2 === 0 ? records : another).replace(id, etag, stateOf(`round ${round}, writer ${n}`)),
          ),
        );
        const written = outcomes.filter((outcome) => outcome.isWritten);
        assert.equal(written.length, 1, `round ${round}`);
        etag = tagIn(await records.read(id));
        assert.equal(written[0]?.isWritten === true && written[0].etag, etag);
      }
      assert.deepEqual(log, []);
      assert.deepEqual([...server.bucket.objects.keys()], [`uploads/${id.hex}`], "no test object was needed");
    }));

  void test("a test of If-Match whose answer is lost proves nothing, and is repeated", async () =>
    over(async (records, server) => {
      const first = await created(records);
      const isProof = (key: string) => key.startsWith("tmp/");
      let refusals = 2;
      let losses = 1;
      server.always("PutObject", ({ key, headers }) => {
        if (headers["if-match"] === undefined) return null;
        if (isProof(key)) return losses-- > 0 ? { done: "close" } : null;
        return refusals-- > 0 ? REFUSED : null;
      });
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      assert.equal((await records.replace(id, first, stateOf("late"))).isWritten, false);
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.equal(conditions(server).length, 5, "conditions are still used");
    }));

  void test("a record of a later version, or something else, is an error", async () =>
    over(async (records, server) => {
      for (const body of ['{"version":2}', "not JSON", "<Html/>"]) {
        server.once("GetObject", { status: 200, headers: { etag: '"x"' }, body });
        await assert.rejects(records.read(id), { name: "FixityError", code: "store-unavailable" });
      }
    }));
});

void test("the size of a record shows whether its upload was concluded, for any length of its text", () => {
  for (let length = 0; length < 9000; length += 1) {
    const text = "x".repeat(length);
    const running = newState(text, LIMITS, {});
    const states: readonly RecordState[] = [
      running,
      endedState(running, "concluded", text),
      endedState(running, "removed", text),
    ];
    for (const state of states) {
      const bytes = formatState(state);
      assert.equal(isEndedSize(bytes.length), state.ended === "concluded", `${state.ended}, ${length} characters`);
      assert.ok(bytes.length < JSON.stringify(state).length + 4096);
      if (length % 500 === 0) assert.deepEqual(parseState(bytes.toString()), state);
    }
  }
  assert.equal(isEndedSize(0), false, "an empty object is not a record");
});
