import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { accessChecks, accessLoad } from "./access.ts";
import { Build } from "./build.ts";
import { caches } from "./cache.ts";
import { Contender, removeFolders, runBareLoop, type Start } from "./contender.ts";
import { events } from "./events.ts";
import { report, type Series } from "./figures.ts";
import { download, uploadLarge, uploadSmall } from "./load.ts";
import { metrics } from "./metrics.ts";
import { native } from "./native/native.ts";
import { packageCosts } from "./package.ts";
import { putFolder } from "./put.ts";
import { resumeDisk, resumeMemory, resumeS3 } from "./resume.ts";
import { resumeKill } from "./resume-kill.ts";
import { ROUNDS, rounds } from "./rounds.ts";
import { serviceTimes } from "./service-times.ts";
import { s3Cpu, s3Large, s3Memory, s3Small } from "./s3.ts";
import { smallDownloads, smallDownloadsMemory } from "./small-downloads.ts";
import { startTimes } from "./start.ts";
import { workers } from "./workers.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** A folder on the disk that is measured. */
const DISK = process.env["BENCH_DIR"] ?? tmpdir();
const ARGUMENTS = process.argv.slice(2);
const OPTIONS = new Set(ARGUMENTS.filter((argument) => argument.startsWith("--")));
/** A folder in memory, so that the disk is not the limit. */
const MEMORY = "/dev/shm";

const DURABLE_FIXITY: Start = { name: "fixity", script: "fixity" };
const UNFLUSHED_FIXITY: Start = { name: "fixity, durability none", script: "fixity", args: ["none"] };
const VERIFYING_FIXITY: Start = { name: "fixity, verifying each time", script: "fixity", args: ["full", "always"] };
const MULTER: Start = { name: "multer (no hash, no fsync)", script: "multer" };
const FASTIFY: Start = { name: "@fastify/multipart (hash, no fsync)", script: "fastify-multipart" };
const STATIC: Start = { name: "@fastify/static", script: "fastify-static" };

async function large(build: Build): Promise<void> {
  const places: readonly (readonly [string, string])[] = existsSync(MEMORY)
    ? [
        ["disk", DISK],
        ["tmpfs", MEMORY],
      ]
    : [["disk", DISK]];
  for (const [place, parent] of places) {
    const series = await rounds({ build, parent }, [DURABLE_FIXITY, MULTER, FASTIFY], async (contender) => {
      const seconds = await uploadLarge(contender.port, "/uploads", GIB);
      await contender.clear();
      return GIB / MIB / seconds;
    });
    report(`Form upload of 1 GiB to ${place}, 1 connection`, "MiB/s", series);
  }
}

async function small(build: Build): Promise<void> {
  const place = { build, parent: DISK };
  const load = { size: 4096, connections: 32, count: 8000 };
  const measure = ({ port }: Contender): Promise<number> => uploadSmall(port, "/uploads", load);
  report(
    "Form uploads of 4 KiB, 32 connections, not durable",
    "per second",
    await rounds(place, [UNFLUSHED_FIXITY, MULTER, FASTIFY], measure),
  );
  const bare: Series = { name: "bare system calls, no HTTP", values: [] };
  const durable = await rounds(place, [DURABLE_FIXITY], async (contender) => {
    bare.values.push(await runBareLoop(DISK, load));
    return measure(contender);
  });
  bare.values.shift();
  report("Form uploads of 4 KiB, 32 connections, durable", "per second", [...durable, bare]);
}

async function memory(build: Build): Promise<void> {
  for (const [count, size] of [
    [100, 64 * MIB],
    [10, GIB],
  ] as const) {
    for (const start of [DURABLE_FIXITY, MULTER, FASTIFY]) {
      await using contender = await Contender.start({ build, parent: DISK }, start);
      await Promise.all(Array.from({ length: count }, () => uploadLarge(contender.port, "/uploads", size)));
      const { peakMemory } = await contender.usage();
      console.log(
        `${count} uploads of ${size / MIB} MiB at once: ${start.name.padEnd(34)} ${(peakMemory / MIB).toFixed(0)} MiB at peak`,
      );
    }
  }
}

async function downloads(build: Build): Promise<void> {
  const paths = new Map<Contender, string>();
  const starts = [DURABLE_FIXITY, VERIFYING_FIXITY, STATIC];
  const series = await rounds({ build, parent: DISK }, starts, async (contender) => {
    const path = paths.get(contender) ?? (await prepare(contender));
    paths.set(contender, path);
    return GIB / MIB / (await download(contender.port, path));
  });
  report("Download of 1 GiB, 1 connection", "MiB/s", series);
}

/** Stores a file of 1 GiB where the contender serves it. */
async function prepare({ name, port, root }: Contender): Promise<string> {
  const { createFixedFile, uploadFixed } = await import("./fixed-file.ts");
  return name.startsWith("fixity") ? uploadFixed(port, GIB) : createFixedFile(root, GIB);
}

async function start(): Promise<void> {
  const values = await startTimes(DISK, ROUNDS);
  report("Start of `fixity serve` to its first answer", "ms", [{ name: "fixity", values }]);
}

/**
 * A case in a browser. It is imported when it runs, because it is compiled with the types of the
 * DOM.
 */
function inBrowser(name: string): (build: Build) => Promise<void> {
  return async (build) => {
    const module: string = new URL(`browser/${name}.ts`, import.meta.url).href;
    const { run } = (await import(module)) as { readonly run: (build: Build, parent: string) => Promise<void> };
    await run(build, DISK);
  };
}

const CASES: Readonly<Record<string, (build: Build) => Promise<void>>> = {
  metrics: async (build) => metrics(build, DISK),
  large,
  small,
  memory,
  download: downloads,
  "get-small": async (build) => smallDownloads(build, DISK),
  "get-memory": async (build) => smallDownloadsMemory(build, DISK),
  start,
  events: async (build) => events(build, DISK),
  "service-times": async (build) => serviceTimes(build, DISK),
  access: async () => accessChecks(),
  "access-load": async (build) => accessLoad(build, DISK),
  cache: caches,
  package: packageCosts,
  put: async (build) => putFolder(build, DISK),
  workers: async (build) => workers(build, DISK),
  "client-browser": inBrowser("client-browser"),
  "client-duplicate": inBrowser("client-duplicate"),
  "s3-small": s3Small,
  "s3-large": s3Large,
  "s3-cpu": s3Cpu,
  "s3-memory": s3Memory,
  "resume-disk": async (build) => resumeDisk(build, DISK),
  "resume-s3": resumeS3,
  "resume-memory": resumeMemory,
  "resume-kill": async (build) => resumeKill(build, DISK),
  native: async (build) => native(build, { parent: DISK, isQuick: OPTIONS.has("--quick") }),
};

await using build = await Build.make();
const wanted = ARGUMENTS.filter((argument) => !OPTIONS.has(argument));
for (const name of wanted.length > 0 ? wanted : Object.keys(CASES)) {
  const run = CASES[name];
  if (run === undefined) {
    console.error(`There is no case "${name}": choose from ${Object.keys(CASES).join(", ")}.`);
    process.exitCode = 1;
  } else {
    await run(build);
    await removeFolders();
  }
}
