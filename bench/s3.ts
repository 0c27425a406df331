import { tmpdir } from "node:os";
import { startGateway, whyNoGateway } from "../test/s3/gateway.ts";
import { putBarely } from "./bare-puts.ts";
import type { Build } from "./build.ts";
import { Contender, type Start } from "./contender.ts";
import { report, type Series } from "./figures.ts";
import { uploadDeclared, uploadLarge, uploadPatiently, uploadSmall } from "./load.ts";
import { rounds } from "./rounds.ts";
import { undoneIfStopped } from "./stopping.ts";
import type { S3Target } from "./servers/s3-target.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const SMALL = { size: 4096, connections: 32, count: 1000 };

const DECLARED = "fixity, digest declared";

/** The servers, which all store in one bucket. */
function contenders(target: S3Target): Readonly<Record<"fixity" | "declared" | "multer" | "usual", Start>> {
  const args = [JSON.stringify(target)];
  return {
    fixity: { name: "fixity", script: "fixity-s3", args },
    declared: { name: DECLARED, script: "fixity-s3", args },
    multer: { name: "multer-s3 (no hash)", script: "multer-s3", args },
    usual: { name: "hash, upload, copy, remove", script: "hash-and-rename-s3", args },
  };
}

/** Runs a case over a gateway of its own, or over the server that the variables TEST_S3_… name. */
export async function withGateway(name: string, run: (target: S3Target) => Promise<void>): Promise<void> {
  const lacking = whyNoGateway();
  if (lacking !== null) return console.log(`\n${name} was skipped: it ${lacking}`);
  const starting = startGateway();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= starting.then((gateway) => gateway.stop()));
  // Registered before the start, which takes seconds.
  const isStopped = undoneIfStopped(stop);
  try {
    const { collectGarbage: _, stop: _stop, ...target } = await starting;
    await run(target);
  } finally {
    await stop();
    isStopped();
  }
}

/** Runs a case over a server that discards everything. */
export async function withSink(build: Build, run: (target: S3Target) => Promise<void>): Promise<void> {
  await using sink = await Contender.start({ build, parent: tmpdir() }, { name: "sink", script: "s3-sink" });
  const endpoint = `http://127.0.0.1:${sink.port}`;
  await run({ endpoint, region: "us-east-1", bucket: "sink", accessKey: "key", secretKey: "secret" });
}

export async function s3Small(build: Build): Promise<void> {
  await withGateway("s3-small", async (target) => {
    const { fixity, multer, usual } = contenders(target);
    const bare: Series = { name: "bare signed PUTs, no server", values: [] };
    const series = await rounds({ build, parent: tmpdir() }, [fixity, multer, usual], async ({ name, port }) => {
      if (name === fixity.name) bare.values.push(await putBarely(target, SMALL));
      return uploadSmall(port, "/uploads", SMALL);
    });
    // The first round is a warm-up.
    bare.values.shift();
    report("Form uploads of 4 KiB to S3, 32 connections", "per second", [...series, bare]);
  });
}

export async function s3Large(build: Build): Promise<void> {
  const size = 256 * MIB;
  await withGateway("s3-large", async (target) => {
    const { fixity, declared, multer, usual } = contenders(target);
    const place = { build, parent: tmpdir() };
    const measure = async (contender: Contender): Promise<number> => size / MIB / (await uploadOnce(contender, size));
    const [own, known, ...peers] = await rounds(place, [fixity, declared, multer, usual], measure);
    if (own === undefined || known === undefined) return;
    report("Upload of 256 MiB to S3 as a form, 1 connection", "MiB/s", [own, ...peers]);
    report("The same with its digest declared, peers as a form", "MiB/s", [known, ...peers]);
  });
}

export async function s3Cpu(build: Build): Promise<void> {
  await withSink(build, async (target) => {
    const { fixity, declared, multer, usual } = contenders(target);
    const place = { build, parent: tmpdir() };
    const load = { ...SMALL, count: 4000 };
    const small = await rounds(place, [fixity, multer, usual], async (contender) => {
      const cpu = await contender.cpuDuring(() => uploadSmall(contender.port, "/uploads", load));
      return (1000 * cpu) / load.count;
    });
    report("CPU of the server for a form upload of 4 KiB to S3, lower is better", "ms", small);
    const large = await rounds(place, [fixity, declared, multer, usual], async (contender) =>
      contender.cpuDuring(() => uploadOnce(contender, GIB)),
    );
    report("CPU of the server for an upload of 1 GiB to S3, lower is better", "s", large);
  });
}

export async function s3Memory(build: Build): Promise<void> {
  const [count, size] = [500, 32 * MIB];
  await withGateway("s3-memory", async (target) => {
    const { fixity } = contenders(target);
    await using contender = await Contender.start({ build, parent: tmpdir() }, fixity);
    const uploads = Array.from({ length: count }, () => uploadPatiently(contender.port, "/uploads", size));
    const ends = await Promise.all(uploads);
    const { peakMemory } = await contender.usage();
    const refusals = ends.reduce((sum, end) => sum + end.refusals, 0);
    const failures = ends.filter((end) => end.failure !== null).map((end) => end.failure);
    console.log(
      `\n${count} uploads of ${size / MIB} MiB to S3 at once: fixity ${(peakMemory / MIB).toFixed(0)} MiB at peak; ` +
        `refused with Retry-After ${refusals} times, ${failures.length} failed ${[...new Set(failures)].join(" ")}`.trimEnd(),
    );
  });
}

/** Uploads in the contender's own way. Returns seconds. */
async function uploadOnce({ name, port }: Contender, size: number): Promise<number> {
  return name === DECLARED ? uploadDeclared(port, "/uploads", size) : uploadLarge(port, "/uploads", size);
}
