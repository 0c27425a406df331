/** Measures one row: several servers in turn, with what each of them costs. */
import { Contender, type Place, type Start } from "../contender.ts";
import type { S3Target } from "../servers/s3-target.ts";
import { countingProxy } from "./counting-proxy.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** How much a measurement repeats. */
export interface Effort {
  readonly rounds: number;
  /** Rounds before those that count. */
  readonly warmUps: number;
}

/** What one measurement did. */
export interface Work {
  readonly files: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly seconds: number;
}

/** A row: the same work for several servers. */
export interface Row {
  /** Names the row's plot. */
  readonly id: string;
  readonly title: string;
  /** Files per second and CPU per file if files are small; bytes per second and CPU per GiB if they are large. */
  readonly per: "file" | "byte";
  /** The contenders; over S3, given the bucket that they store in. */
  readonly starts: (target: S3Target) => readonly Start[];
  readonly isOnS3: boolean;
  /** Done in each contender once, before the rounds. */
  readonly prepare?: (contender: Contender) => Promise<void>;
  readonly work: (contender: Contender) => Promise<Work>;
  /** A smaller amount of the same work, to count its requests to S3. */
  readonly sample?: (contender: Contender) => Promise<Work>;
}

/** One contender's figures in a row. */
export interface Figures {
  readonly name: string;
  /** Files or MiB per second, one per round. */
  readonly throughput: readonly number[];
  /** CPU milliseconds per file, or CPU seconds per GiB, one per round. */
  readonly cpu: readonly number[];
  /** Peak resident memory of the server during all rounds, in MiB. */
  readonly peakMemory: number;
  /** Requests to S3 per file; `null` if the row is not on S3. */
  requests: number | null;
  /** The share of one processor that the load used, at most: near 1, the load was the limit. */
  readonly loadShare: number;
}

interface Sums {
  readonly contender: Contender;
  readonly throughput: number[];
  readonly cpu: number[];
  loadShare: number;
}

/** Measures the contenders in turn, in another order each round. */
export async function measureRow(row: Row, place: Place, run: Effort & { target: S3Target }): Promise<Figures[]> {
  await using stack = new AsyncDisposableStack();
  const all: Sums[] = [];
  for (const start of row.starts(run.target)) {
    const contender = stack.use(await Contender.start(place, start));
    await row.prepare?.(contender);
    all.push({ contender, throughput: [], cpu: [], loadShare: 0 });
  }
  for (let round = 0; round < run.warmUps + run.rounds; round += 1) {
    const shift = round % all.length;
    for (const sums of [...all.slice(shift), ...all.slice(0, shift)]) {
      await measureOnce(row, sums, round >= run.warmUps);
    }
  }
  const figures: Figures[] = [];
  for (const { contender, throughput, cpu, loadShare } of all) {
    const peakMemory = (await contender.usage()).peakMemory / MIB;
    figures.push({ name: contender.name, throughput, cpu, peakMemory, requests: null, loadShare });
  }
  return figures;
}

async function measureOnce({ work, per }: Row, sums: Sums, counts: boolean): Promise<void> {
  const load = process.cpuUsage();
  const startedAt = performance.now();
  const before = await sums.contender.usage();
  const { files, bytes, seconds } = await work(sums.contender);
  const cpu = (await sums.contender.usage()).cpu - before.cpu;
  if (!counts) return;
  const elapsed = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(load);
  sums.loadShare = Math.max(sums.loadShare, (user + system) / 1000 / elapsed);
  sums.throughput.push(per === "file" ? files / seconds : bytes / MIB / seconds);
  sums.cpu.push(per === "file" ? (1000 * cpu) / files : cpu / (bytes / GIB));
}

/**
 * Adds the requests to S3 per file to the figures. They pass a proxy, which is too slow for a
 * measurement of time. What a server asks once, at its first upload, does not count.
 */
export async function countRequests(
  row: Row,
  place: Place,
  { target, figures }: { readonly target: S3Target; readonly figures: readonly Figures[] },
): Promise<void> {
  const { sample = row.work } = row;
  await using proxy = await countingProxy(target);
  for (const [index, start] of row.starts(proxy.target).entries()) {
    await using contender = await Contender.start(place, start);
    await sample(contender);
    const before = proxy.requests;
    const { files } = await sample(contender);
    const one = figures[index];
    if (one !== undefined) one.requests = (proxy.requests - before) / files;
  }
}
