/** `metrics`: what measuring costs small uploads. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Counter, Histogram, Registry } from "prom-client";
import { type RequestEvent, requestEnded, type UploadEvent, uploadEnded } from "../src/core/diagnostics.ts";
import { createFixity } from "../src/index.ts";
import { memoryStore } from "../src/memory.ts";
import { Metrics } from "../src/server/metrics/metrics.ts";
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
  await counting();
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

/** Events in one round of {@link counting}. */
const EVENTS = 200_000;

const REQUEST: RequestEvent = {
  route: "collection",
  protocol: "plain",
  action: "create",
  status: 201,
  code: null,
  aborted: false,
  bytesReceived: 4096,
  bytesSent: 300,
  durationMs: 3,
};
const UPLOAD: UploadEvent = {
  kind: "plain",
  route: "collection",
  protocol: "plain",
  outcome: "stored",
  code: null,
  size: 4096,
  durationMs: 3,
  receiveMs: 0.1,
  hashMs: 0.02,
  commitMs: 2.5,
};

/** The time to publish and count the two events of a small upload, with counters of prom-client as the peer. */
async function counting(): Promise<void> {
  await using fixity = createFixity({ store: memoryStore() });
  const contenders = [
    { name: "fixity's counters", count: () => new Metrics(fixity, "0"), values: [] as number[] },
    { name: "prom-client's counters", count: countWithPromClient, values: [] as number[] },
  ];
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { count, values } of contenders) {
      using _ = count();
      const startedAt = performance.now();
      for (let index = 0; index < EVENTS; index += 1) {
        requestEnded.publish({ ...REQUEST, durationMs: index % 7 });
        uploadEnded.publish({ ...UPLOAD, commitMs: index % 9, receiveMs: (index % 3) / 10 });
      }
      if (round > 0) values.push((1000 * (performance.now() - startedAt)) / EVENTS);
    }
  }
  report("Time to count an upload", "µs", contenders);
}

/** The same counts as `src/server/metrics/metrics.ts`, as prom-client's documentation shows. */
function countWithPromClient(): Disposable {
  const registers = [new Registry()];
  const counter = (name: string, ...labelNames: string[]): Counter =>
    new Counter({ name, help: name, labelNames, registers });
  const histogram = (name: string, buckets: number[]): Histogram =>
    new Histogram({ name, help: name, labelNames: ["protocol"], buckets, registers });
  const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
  const requests = counter("requests", "route", "protocol", "action", "status");
  const received = counter("received", "protocol");
  const sent = counter("sent", "protocol");
  const uploads = counter("uploads", "route", "protocol", "outcome");
  const sizes = histogram(
    "size",
    Array.from({ length: 11 }, (_, index) => 2 ** (12 + 2 * index)),
  );
  const [receiving, hashing, committing] = ["receive", "hash", "commit"].map((name) => histogram(name, seconds));
  const onRequest = (event: unknown): void => {
    const { route, protocol, action, status, bytesReceived, bytesSent } = event as RequestEvent;
    requests.inc({ route, protocol, action, status: `${Math.floor(status / 100)}xx` });
    received.inc({ protocol }, bytesReceived);
    sent.inc({ protocol }, bytesSent);
  };
  const onUpload = (event: unknown): void => {
    const { route, protocol, outcome, size, receiveMs, hashMs, commitMs } = event as UploadEvent;
    uploads.inc({ route, protocol, outcome });
    sizes.observe({ protocol }, size);
    receiving?.observe({ protocol }, (receiveMs ?? 0) / 1000);
    hashing?.observe({ protocol }, (hashMs ?? 0) / 1000);
    committing?.observe({ protocol }, (commitMs ?? 0) / 1000);
  };
  subscribe("fixity:request", onRequest);
  subscribe("fixity:upload", onUpload);
  return {
    [Symbol.dispose]: () => {
      unsubscribe("fixity:request", onRequest);
      unsubscribe("fixity:upload", onUpload);
    },
  };
}
