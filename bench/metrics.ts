/** `metrics`: what measuring costs small uploads. */
import type { Build } from "./build.ts";
import { median, report, type Series } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS } from "./rounds.ts";
import { Served } from "./served.ts";

/** Processes with metrics, and as many without. */
const PROCESSES = 12;
/** Small uploads in one round of one process. */
const UPLOADS = 1000;
const ROUNDS_OF_EACH: number = 4 * ROUNDS;
const WARM_UP_ROUNDS = 3;

/** A server, and its processor time per upload in each round, in milliseconds. */
interface Measured {
  readonly server: Served;
  readonly values: number[];
}

/**
 * Processor time of servers per small upload, with and without metrics. Unlike the rate, it hardly
 * depends on what else the machine does. Two processes with the same code differ by several percent
 * all the time, so there are several of each, and a process counts as one value: its median.
 */
export async function metrics(build: Build, parent: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const measured: Measured[] = [];
  const plain: Measured[] = [];
  for (let index = 0; index < PROCESSES; index += 1) {
    measured.push({ server: stack.use(await Served.start(build, parent, ["--metrics-port", "0"])), values: [] });
    plain.push({ server: stack.use(await Served.start(build, parent, [])), values: [] });
  }
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS_OF_EACH; round += 1) {
    for (const { server, values } of shuffled([...measured, ...plain])) {
      const before = server.processorSeconds;
      await uploadSmall(server.port, "/uploads", { size: 4096, connections: 32, count: UPLOADS, isRaw: true });
      if (round >= 0) values.push((1000 * (server.processorSeconds - before)) / UPLOADS);
    }
  }
  const series: readonly [Series, Series] = [
    { name: "fixity with metrics", values: measured.map(({ values }) => median(values)) },
    { name: "fixity without metrics", values: plain.map(({ values }) => median(values)) },
  ];
  report("Processor time per upload of 4 KiB, durable, 32 connections, of each process", "ms", series);
  const [one, other] = series.map(({ values }) => meanAndError(values)) as [Mean, Mean];
  const ratio = one.mean / other.mean;
  const error = ratio * Math.hypot(one.error / one.mean, other.error / other.mean);
  console.log(`  ratio of the means: ${ratio.toFixed(3)}, standard error ${error.toFixed(3)}`);
}

interface Mean {
  readonly mean: number;
  /** The standard error of the mean. */
  readonly error: number;
}

function meanAndError(values: readonly number[]): Mean {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item);
}
