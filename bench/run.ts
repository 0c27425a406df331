import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { Contender, removeFolders, runBareLoop } from "./contender.ts";
import { report, type Series } from "./figures.ts";
import { download, uploadLarge, uploadSmall } from "./load.ts";
import { startTimes } from "./start.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 5);
/** A folder on the disk to be measured. */
const DISK = process.env["BENCH_DIR"] ?? tmpdir();
/** A folder in memory, where the disk is not the limit. */
const MEMORY = "/dev/shm";

type Start = readonly [name: string, script: readonly string[]];

const DURABLE: Start = ["fixity", ["fixity"]];
const NOT_DURABLE: Start = ["fixity, durability none", ["fixity", "none"]];
const MULTER: Start = ["multer (no hash, no fsync)", ["multer"]];
const FASTIFY: Start = ["@fastify/multipart (hash, no fsync)", ["fastify-multipart"]];

/** Runs one measurement on every contender in turn, round after round. The first round warms up and does not count. */
async function rounds(
  parent: string,
  starts: readonly Start[],
  measure: (contender: Contender) => Promise<number>,
): Promise<Series[]> {
  await using stack = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  for (const [name, script] of starts) contenders.push(stack.use(await Contender.start(name, parent, script)));
  const series = contenders.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, contender] of contenders.entries()) {
      const value = await measure(contender);
      if (round > 0) series[index]?.values.push(value);
    }
  }
  return series;
}

async function large(): Promise<void> {
  const places: readonly (readonly [string, string])[] = existsSync(MEMORY)
    ? [
        ["disk", DISK],
        ["tmpfs", MEMORY],
      ]
    : [["disk", DISK]];
  for (const [place, parent] of places) {
    const series = await rounds(parent, [DURABLE, MULTER, FASTIFY], async (contender) => {
      const seconds = await uploadLarge(contender.port, "/uploads", GIB);
      await contender.clear();
      return GIB / MIB / seconds;
    });
    report(`Form upload of 1 GiB to ${place}, 1 connection`, "MiB/s", series);
  }
}

async function small(): Promise<void> {
  const load = { size: 4096, connections: 32, count: 8000 };
  const measure = ({ port }: Contender): Promise<number> => uploadSmall(port, "/uploads", load);
  report(
    "Form uploads of 4 KiB, 32 connections, not durable",
    "per second",
    await rounds(DISK, [NOT_DURABLE, MULTER, FASTIFY], measure),
  );
  const bare: Series = { name: "bare system calls, no HTTP", values: [] };
  const durable = await rounds(DISK, [DURABLE], async (contender) => {
    bare.values.push(await runBareLoop(DISK, load));
    return measure(contender);
  });
  bare.values.shift();
  report("Form uploads of 4 KiB, 32 connections, durable", "per second", [...durable, bare]);
}

async function memory(): Promise<void> {
  for (const [count, size] of [
    [100, 64 * MIB],
    [10, GIB],
  ] as const) {
    for (const start of [DURABLE, MULTER, FASTIFY]) {
      await using contender = await Contender.start(start[0], DISK, start[1]);
      await Promise.all(Array.from({ length: count }, () => uploadLarge(contender.port, "/uploads", size)));
      const peak = await contender.peakMemory();
      console.log(
        `${count} uploads of ${size / MIB} MiB at once: ${start[0].padEnd(34)} ${(peak / MIB).toFixed(0)} MiB at peak`,
      );
    }
  }
}

async function downloads(): Promise<void> {
  const paths = new Map<Contender, string>();
  const series = await rounds(DISK, [DURABLE, ["@fastify/static", ["fastify-static"]]], async (contender) => {
    const path = paths.get(contender) ?? (await prepare(contender));
    paths.set(contender, path);
    return GIB / MIB / (await download(contender.port, path));
  });
  report("Download of 1 GiB, 1 connection", "MiB/s", series);
}

/** Puts a file of 1 GiB where the contender serves it. */
async function prepare({ name, port, root }: Contender): Promise<string> {
  const { createFixedFile, uploadFixed } = await import("./fixed-file.ts");
  return name === "fixity" ? uploadFixed(port, GIB) : createFixedFile(root, GIB);
}

async function start(): Promise<void> {
  const values = await startTimes(DISK, ROUNDS);
  report("Start of `fixity serve` to its first answer", "ms", [{ name: "fixity", values }]);
}

const CASES: Readonly<Record<string, () => Promise<void>>> = { large, small, memory, download: downloads, start };

const wanted = process.argv.slice(2);
for (const name of wanted.length > 0 ? wanted : Object.keys(CASES)) {
  const run = CASES[name];
  if (run === undefined) {
    console.error(`There is no case "${name}": choose from ${Object.keys(CASES).join(", ")}.`);
    process.exitCode = 1;
  } else {
    await run();
    await removeFolders();
  }
}
