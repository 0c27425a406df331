import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { failure } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { UploadId } from "../../../core/upload-id.ts";
import { Layout } from "../layout.ts";
import { failedWith } from "../s3-error.ts";
import { Records, type Replaced } from "./records.ts";
import { formatState, newState, newToken, type UploadState } from "./upload-state.ts";

const id = UploadId.random();
const LIMITS = { partSize: 1, fixedPartSize: false, maxParts: 1, largestPart: 1 };
const REFUSED = failure(412, "PreconditionFailed");

type Work = (records: Records, server: ScriptedServer, another: Records) => Promise<void>;

/** Records over a server, and others over the same, as of another process. */
async function over(work: Work): Promise<void> {
  await using server = await ScriptedServer.start();
  const clients = [server.client(), server.client()] as const;
  const [one, other] = clients.map((client) => new Records(client, new Layout("")));
  assert(one !== undefined && other !== undefined);
  await work(one, server, other);
  for (const client of clients) await client.destroy();
}

function stateOf(text: string): UploadState {
  return { ...newState(text, LIMITS, {}), revision: newToken() };
}

/** Creates the record, and gives its tag. */
async function created(records: Records): Promise<string> {
  assert.equal(await records.create(id, stateOf("first")), true);
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

/** How the conditions on replacements were written. */
function conditions({ seen }: ScriptedServer): readonly string[] {
  return seen.map(({ headers }) => headers["if-match"]).filter((condition) => condition !== undefined);
}

void describe("records of uploads", () => {
  void test("a record is created once", async () =>
    over(async (records, _server, another) => {
      await created(records);
      assert.equal(await another.create(id, stateOf("another")), false);
      assert.equal(await textOf(records), "first");
    }));

  void test("a creation whose answer was lost is known by its revision", async () =>
    over(async (records, server) => {
      server.once("PutObject", { done: "close" });
      await created(records);
      assert.equal(server.seen.filter(({ operation }) => operation === "PutObject").length, 2);
    }));

  void test("a creation that is refused though there is no record has failed", async () =>
    over(async (records, server) => {
      server.always("PutObject", REFUSED);
      await assert.rejects(records.create(id, stateOf("first")), (error) => failedWith(error, 412));
    }));

  void test("who read it last replaces it, and nobody else", async () =>
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

  void test("a replacement whose answer was lost is known by its revision", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.once("PutObject", { done: "close" });
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.equal(await textOf(records), "third");
    }));

  void test("a replacement whose answer was lost, and that was replaced since, is not taken for the last word", async () =>
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

  void test("a server that compares bare tags is understood, and remembered", async () =>
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

  void test("a 412 for a reason of the server's own passes, and is not remembered", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.once("PutObject", REFUSED, REFUSED);
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      tagOf(await records.replace(id, second, stateOf("third")));
      assert.deepEqual(conditions(server).slice(2), [first, second]);
    }));

  void test("a server that says 412 to everything fails in the end, and nothing is written", async () =>
    over(async (records, server) => {
      const first = await created(records);
      server.always("PutObject", REFUSED);
      await assert.rejects(records.replace(id, first, stateOf("second")), (error) => failedWith(error, 412));
      assert.equal(await textOf(records), "first");
    }));

  void test("where conditions are refused, a look beforehand has to do", async () =>
    over(async (records, server, another) => {
      server.always("PutObject", ({ headers }) =>
        headers["if-match"] === undefined && headers["if-none-match"] === undefined
          ? null
          : failure(501, "NotImplemented"),
      );
      const first = await created(records);
      assert.equal(await another.create(id, stateOf("another")), false);
      const second = tagOf(await records.replace(id, first, stateOf("second")));
      assert.equal((await another.replace(id, first, stateOf("late"))).isWritten, false);
      tagOf(await another.replace(id, second, stateOf("third")));
      assert.equal(await textOf(records), "third");
    }));

  void test("a record of a later version, or none at all, is not guessed at", async () =>
    over(async (records, server) => {
      for (const body of ['{"version":2}', "not JSON", "<Html/>"]) {
        server.once("GetObject", { status: 200, headers: { etag: '"x"' }, body });
        await assert.rejects(records.read(id), { name: "FixityError", code: "store-unavailable" });
      }
    }));
});
