import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { aggregateMetrics, metricsOf, metricsText } from "./metrics-text.ts";
import { counterFamily, histogramFamily } from "./series.ts";

async function textOf(registry: Registry, isOpenMetrics = false): Promise<string[]> {
  const { text } = await metricsText(await metricsOf(registry), isOpenMetrics);
  return text.split("\n").filter((line) => line !== "");
}

test("a counter has a line for each combination of labels, and one without labels begins with 0", async () => {
  const registry = new Registry();
  counterFamily(registry, { name: "empty_total", help: "Nothing." });
  const family = counterFamily(registry, { name: "calls_total", help: "Calls.", labels: ["kind", "outcome"] });
  family.of("read", "ok").add();
  family.of("read", "ok").add(2.5);
  family.of("read", "failed");
  assert.deepEqual(await textOf(registry), [
    "# HELP empty_total Nothing.",
    "# TYPE empty_total counter",
    "empty_total 0",
    "# HELP calls_total Calls.",
    "# TYPE calls_total counter",
    'calls_total{kind="read",outcome="ok"} 3.5',
    'calls_total{kind="read",outcome="failed"} 0',
  ]);
  assert.ok((await textOf(registry, true)).includes('calls_total{kind="read",outcome="ok"} 3.5'));
});

test("a bucket of a histogram counts its bound and everything below, and the last one everything", async () => {
  const registry = new Registry();
  const family = histogramFamily(registry, { name: "size", help: "Sizes.", bounds: [1, 10], labels: ["kind"] });
  for (const value of [0, 1, 1.5, 10, 11, 1000]) family.of("a").observe(value);
  assert.deepEqual((await textOf(registry)).slice(2), [
    'size_bucket{le="1",kind="a"} 2',
    'size_bucket{le="10",kind="a"} 4',
    'size_bucket{le="+Inf",kind="a"} 6',
    'size_sum{kind="a"} 1023.5',
    'size_count{kind="a"} 6',
  ]);
});

test("series of several processes are added up, by their labels", async () => {
  const processes = await Promise.all(
    [1, 2].map(async (amount) => {
      const registry = new Registry();
      const family = counterFamily(registry, { name: "calls_total", help: "Calls.", labels: ["kind"] });
      family.of("read").add(amount);
      family.of(`only-${amount}`).add();
      histogramFamily(registry, { name: "size", help: "Sizes.", bounds: [1] })
        .of()
        .observe(amount);
      return structuredClone(await metricsOf(registry));
    }),
  );
  const { text } = await metricsText(await aggregateMetrics(processes), false);
  for (const line of ['calls_total{kind="read"} 3', 'calls_total{kind="only-1"} 1', 'calls_total{kind="only-2"} 1']) {
    assert.ok(text.includes(`\n${line}\n`), line);
  }
  for (const line of ['size_bucket{le="1"} 1', 'size_bucket{le="+Inf"} 2', "size_sum 3", "size_count 2"]) {
    assert.ok(text.includes(`\n${line}\n`), line);
  }
});
