import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { needing } from "../helpers/requirements.ts";
import type { DocumentStep } from "../helpers/store-child.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace, WRITING_CALLS } from "../helpers/strace.ts";
import { pathOf, targetOf, type TracedCall } from "../helpers/trace.ts";

const NAME = "marks/one";

/** What a step does, in the order of the calls, up to its acknowledgement. */
async function traced(store: StoreProcess, step: DocumentStep): Promise<readonly TracedCall[]> {
  await using strace = await Strace.attach(store.pid, { calls: WRITING_CALLS });
  assert.equal((await store.run(step)).code, undefined);
  return (await strace.calls()).filter(({ result }) => result !== null && result >= 0);
}

function one(calls: readonly TracedCall[], what: string, fits: (call: TracedCall) => boolean): TracedCall {
  const found = calls.filter((call) => fits(call));
  assert.equal(found.length, 1, `one ${what}`);
  return found[0] ?? assert.fail();
}

function assertFlushed(calls: readonly TracedCall[], path: string, after: TracedCall, before: TracedCall): void {
  const isFlush = (call: TracedCall): boolean => call.name === "fsync" && pathOf(call) === path;
  const fits = calls.some((call) => isFlush(call) && call.began > after.ended && call.ended < before.began);
  assert(fits, `${path} is flushed between ${after.name} and ${before.name}`);
}

const isWrite = ({ name, ...call }: TracedCall): boolean =>
  name.startsWith("pwrite") && pathOf({ name, ...call })?.endsWith(".text") === true;
const isAcknowledgement = ({ name, args }: TracedCall): boolean => name === "write" && args.includes(`"${NAME}"`);
const isRemoval = ({ name }: TracedCall): boolean => name === "unlink";

describe("the order of calls for a document", needing("strace"), () => {
  test("a text is durable before its document names it, and the document before it is acknowledged", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    const [documents, path] = [join(folder.path, "documents"), folder.document(NAME)];
    const flushed = [join(documents, "marks"), path];
    for (const nth of ["first", "second", "third"]) {
      const calls = await traced(store, { do: "write-document", name: NAME, text: nth });
      const write = one(calls, "write of a text", isWrite);
      const target = nth === "first" ? path : join(path, "-written-");
      const isSwitch = (call: TracedCall): boolean =>
        call.name === "rename" && (targetOf(call) ?? "").replace(/\/\d+-written-.*$/, "/-written-") === target;
      const rename = one(calls, "rename into place", isSwitch);
      const acknowledgement = one(calls, "acknowledgement", isAcknowledgement);
      assertFlushed(calls, pathOf(write) ?? "", write, rename);
      const text = calls.find((call) => call.name === "fsync" && pathOf(call) === pathOf(write)) ?? assert.fail();
      assertFlushed(calls, join(pathOf(write) ?? "", ".."), text, rename);
      const above = nth === "first" ? [documents, folder.path] : [];
      for (const one of [...flushed, ...above]) assertFlushed(calls, one, rename, acknowledgement);
      if (nth !== "first") assertFlushed(calls, path, rename, one(calls, "removal of the text before", isRemoval));
    }
  });

  test("a removal is durable before the text is removed, and before it is acknowledged", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    assert.equal((await store.run({ do: "write-document", name: NAME, text: "text" })).code, undefined);
    const calls = await traced(store, { do: "remove-document", name: NAME });
    const rename = one(calls, "rename", ({ name }) => name === "rename");
    for (const isNext of [isRemoval, isAcknowledgement]) {
      assertFlushed(calls, folder.document(NAME), rename, one(calls, "call after it", isNext));
    }
  });

  test("what another process has just written is durable before a failed condition is reported", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    assert.equal((await store.run({ do: "write-document", name: NAME, text: "text" })).code, undefined);
    await using other = await StoreProcess.start(folder.path);
    const calls = await traced(other, { do: "write-document", name: NAME, text: "never", ifMatch: "another" });
    const acknowledgement = one(calls, "acknowledgement", isAcknowledgement);
    for (const path of [
      folder.document(NAME),
      join(folder.path, "documents", "marks"),
      join(folder.path, "documents"),
    ]) {
      assert(
        calls.some((call) => call.name === "fsync" && pathOf(call) === path && call.ended < acknowledgement.began),
      );
    }
  });
});
