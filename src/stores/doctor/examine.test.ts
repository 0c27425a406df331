import assert from "node:assert/strict";
import { test } from "node:test";
import { examine, type ExamineOptions, fails, holds, type Probe, restricted, untried } from "./examine.ts";

const context = { tried: [] as string[] };
type Context = typeof context;

function probe(id: string, run: Probe<Context>["run"], more: Partial<Probe<Context>> = {}): Probe<Context> {
  const tried: Probe<Context>["run"] = async (context) => {
    context.tried.push(id);
    return run(context);
  };
  return { id, group: "g", title: id, otherwise: { verdict: "warning", remedy: "so be it" }, ...more, run: tried };
}

async function verdicts(probes: readonly Probe<Context>[], options: Partial<ExamineOptions<Context>> = {}) {
  const fresh: Context = { tried: [] };
  const explain = (error: unknown) => ({ found: (error as Error).message, permission: "p" });
  const findings = await Array.fromAsync(examine(probes, { context: fresh, explain, ...options }));
  return { findings, tried: fresh.tried, words: findings.map(({ verdict }) => verdict) };
}

const good = async () => holds();
const bad = async () => fails("no");

test("findings state what holds, fails and cannot be tried, in the order of the table", async () => {
  const { findings, words } = await verdicts([
    probe("a", good),
    probe("b", bad),
    probe("c", async () => untried("no clock")),
    probe("d", async () => fails("worse", { verdict: "failure" })),
    probe("e", async () => fails("better", { verdict: "note", remedy: "never mind" })),
  ]);
  assert.deepEqual(words, ["ok", "warning", "skipped", "failure", "note"]);
  assert.deepEqual(
    findings.map(({ found, remedy }) => [found, remedy]),
    [
      [null, null],
      ["no", "so be it"],
      ["no clock", null],
      ["worse", "so be it"],
      ["better", "never mind"],
    ],
  );
});

test("a probe that needs one that failed is skipped", async () => {
  const { tried, words, findings } = await verdicts([
    probe("a", bad),
    probe("b", good, { needs: ["a"] }),
    probe("c", good, { needs: ["b"] }),
    probe("d", good),
  ]);
  assert.deepEqual(tried, ["a", "d"]);
  assert.deepEqual(words, ["warning", "skipped", "skipped", "ok"]);
  assert.equal(findings[1]?.found, "builds on a");
});

test("a restriction has its own verdict, and probes that need it are run", async () => {
  const { findings, words } = await verdicts([
    probe("a", async () => restricted("late", { verdict: "warning", remedy: "wait" })),
    probe("b", good, { needs: ["a"] }),
  ]);
  assert.deepEqual(words, ["warning", "ok"]);
  assert.deepEqual([findings[0]?.found, findings[0]?.remedy], ["late", "wait"]);
});

test("a consequence can depend on the context, and an explanation can have its own remedy", async () => {
  const otherwise = ({ tried }: Context) => ({ verdict: "note" as const, remedy: `after ${tried.length}` });
  const { findings } = await verdicts([probe("a", bad, { otherwise })]);
  assert.deepEqual([findings[0]?.verdict, findings[0]?.remedy], ["note", "after 1"]);
  const explain = async () => ({ found: "denied", permission: null, remedy: "change the policy" });
  const broken = probe("a", async () => Promise.reject(new RangeError("broke")));
  const explained = await verdicts([broken], { explain });
  assert.deepEqual([explained.findings[0]?.verdict, explained.findings[0]?.remedy], ["warning", "change the policy"]);
});

test("a failed gate ends the examination, and one that only warns does not", async () => {
  const closed = probe("a", async () => fails("no", { verdict: "failure" }), { isGate: true });
  assert.deepEqual((await verdicts([closed, probe("b", good)])).tried, ["a"]);
  assert.deepEqual((await verdicts([probe("a", bad, { isGate: true }), probe("b", good)])).tried, ["a", "b"]);
});

test("an error of a probe is explained, and fails that probe alone", async () => {
  const broken = probe("a", async () => Promise.reject(new RangeError("broke")));
  const { findings, words } = await verdicts([broken, probe("b", good)]);
  assert.deepEqual(words, ["warning", "ok"]);
  assert.deepEqual([findings[0]?.found, findings[0]?.permission], ["broke", "p"]);
});

test("an error that cannot be explained is thrown", async () => {
  const explain = (error: unknown) => {
    throw error;
  };
  const broken = probe("a", async () => Promise.reject(new RangeError("broke")));
  await assert.rejects(verdicts([broken], { explain }), RangeError);
});

test("an aborted signal skips the running probe, and no further probe begins", async () => {
  const stop = new AbortController();
  const interrupted = probe("a", async () => {
    stop.abort();
    throw stop.signal.reason;
  });
  const { tried, words } = await verdicts([interrupted, probe("b", good)], { signal: stop.signal });
  assert.deepEqual([tried, words], [["a"], ["skipped"]]);
});

test("each probe is announced before it is run", async () => {
  const titles: string[] = [];
  const { tried } = await verdicts([probe("a", good), probe("b", good)], {
    onBegin: (title) => void titles.push(title),
  });
  assert.deepEqual(
    [tried, titles],
    [
      ["a", "b"],
      ["a", "b"],
    ],
  );
});
