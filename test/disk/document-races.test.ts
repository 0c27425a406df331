/** A user of a document who is stopped before any of its file-system calls, while another one uses it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { test } from "node:test";
import type { DocumentStore, WriteCondition } from "../../src/core/document-store.ts";
import type { BlobStore } from "../../src/index.ts";
import { someOf } from "../helpers/full-run.ts";
import { mapConcurrent } from "../helpers/map-concurrent.ts";
import { Random } from "../helpers/random.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { GatedUser } from "./gated-calls.ts";

const { diskStore } = await import("../../src/disk.ts");

const NAME = "marks/one";
const DAYS_2_MS = 2 * 24 * 60 * 60 * 1000;

/** What a use depends on; `match`: that the document is as it was at the start. */
type If = "absent" | "match" | null;

type Use =
  | { readonly do: "write"; readonly text: string; readonly if: If }
  | { readonly do: "remove"; readonly if: If }
  | { readonly do: "read" | "list" | "collect" };

/** How the document was left before; the last is to be collected. */
const STARTS = ["absent", "written", "removed", "removed two days ago"] as const;

const USES: readonly Use[] = [
  { do: "write", text: "mine", if: null },
  { do: "write", text: "mine", if: "absent" },
  { do: "write", text: "mine", if: "match" },
  { do: "remove", if: null },
  { do: "remove", if: "match" },
  { do: "read" },
  { do: "list" },
  { do: "collect" },
];

const theirs = (text: string, condition: If = null): Use => ({ do: "write", text, if: condition });
const REMOVE: Use = { do: "remove", if: null };
const COLLECT: Use = { do: "collect" };
const OTHERS: readonly (readonly Use[])[] = [
  [theirs("theirs")],
  [theirs("theirs", "absent")],
  [theirs("theirs", "match")],
  [{ do: "remove", if: "match" }],
  [theirs("one"), theirs("two"), theirs("three")],
  [REMOVE, COLLECT],
  [REMOVE, theirs("again", "absent")],
  [REMOVE, COLLECT, theirs("again", "absent"), theirs("more")],
  [theirs("one"), REMOVE, COLLECT, theirs("two"), REMOVE, COLLECT],
];

/** What a use reports: whether it has changed something, or what it has read. */
type Report = boolean | string | null;

function documentsOf(store: BlobStore): DocumentStore {
  return store.documents ?? assert.fail();
}

/** @param start the tag of the document at the start */
async function use(store: BlobStore, what: Use, folder: StoreFolder, start: string): Promise<Report> {
  const documents = documentsOf(store);
  if (what.do === "write") {
    const conditions = { absent: { ifAbsent: true }, match: { ifMatch: start } } as const;
    const condition: WriteCondition = what.if === null ? {} : conditions[what.if];
    return (await documents.write(NAME, what.text, condition)) !== null;
  }
  if (what.do === "remove") return documents.remove(NAME, what.if === null ? undefined : start);
  if (what.do === "read") return (await documents.read(NAME))?.text ?? null;
  if (what.do === "list") return (await Array.fromAsync(documents.list("marks/"))).length > 0;
  await age(folder);
  await store.collect();
  return null;
}

/** Makes the document's folder two days old, so that it is collected if the document was removed. */
async function age(folder: StoreFolder): Promise<void> {
  const then = new Date(Date.now() - DAYS_2_MS);
  if (existsSync(folder.document(NAME))) await utimes(folder.document(NAME), then, then);
}

/** What uses report one after another, and what is left: the port in its plainest form. */
function reportsOf(first: string | null, uses: readonly Use[]): { reports: Report[]; last: string | null } {
  let text = first;
  let isUnchanged = first !== null;
  const reports = uses.map((what): Report => {
    if (!("if" in what)) return what.do === "read" ? text : what.do === "list" ? text !== null : null;
    const isAllowed = what.if === null || (what.if === "absent" ? text === null : isUnchanged);
    if (!isAllowed || (what.do === "remove" && text === null)) return false;
    isUnchanged = false;
    text = what.do === "write" ? what.text : null;
    return true;
  });
  return { reports, last: text };
}

/** One use that is stopped at one call. @returns the calls it made */
async function stoppedAt(stopAt: number, start: (typeof STARTS)[number], mine: Use, others: readonly Use[]) {
  await using folder = await StoreFolder.make();
  const log = (message: string): void => assert.fail(message);
  await using first = diskStore({ root: folder.path, durability: "none", log });
  await using second = diskStore({ root: folder.path, durability: "none", log });
  const tag = start === "absent" ? "none" : ((await documentsOf(first).write(NAME, "first")) ?? assert.fail());
  if (start.startsWith("removed")) await documentsOf(first).remove(NAME);
  if (start === "removed two days ago") await age(folder);
  const theirs: Report[] = [];
  const user = new GatedUser(stopAt, async () => {
    for (const what of others) theirs.push(await use(second, what, folder, tag));
  });
  const report = await user.run(() => use(first, mine, folder, tag));
  await user.othersDone;
  const last = (await documentsOf(second).read(NAME))?.text ?? null;
  const found = { reports: [report, ...theirs], last };
  if (stopAt === Infinity) return user.calls;
  // My use has come before theirs, after them, or between two of them.
  const allowed = Array.from({ length: others.length + 1 }, (_, index) => {
    const text = start === "written" ? "first" : null;
    const { reports, last } = reportsOf(text, others.toSpliced(index, 0, mine));
    return { reports: [...reports.splice(index, 1), ...reports], last };
  });
  const at = `before call ${stopAt}: ${user.calls[stopAt]}, ${JSON.stringify({ start, mine, others, found, allowed })}`;
  assert.ok(
    allowed.some((one) => JSON.stringify(one) === JSON.stringify(found)),
    at,
  );
  assert.deepEqual(await folder.documentLeftovers(), [], at);
  return user.calls;
}

test("a use of a document that is stopped at any call, while others use it, comes before or after each of theirs", async (t) => {
  const random = new Random();
  t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
  const cases = STARTS.flatMap((start) =>
    USES.flatMap((mine) => OTHERS.map((others) => ({ start, mine, others }) as const)),
  );
  let stops = 0;
  for (const { start, mine, others } of someOf(cases, 40, random)) {
    const calls = await stoppedAt(Infinity, start, mine, others);
    await mapConcurrent(calls.keys(), 24, (call) => stoppedAt(call, start, mine, others));
    stops += calls.length;
  }
  t.diagnostic(`${stops} stops in ${cases.length} cases`);
});
