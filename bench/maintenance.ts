/**
 * Measures the commands for the maintenance of a store, each as a process of its own, against the
 * obvious tool for the same files, in turns:
 *
 *     node bench/maintenance.ts verify [MiB of each sample, 1024]
 *     node bench/maintenance.ts copy [MiB of each sample, 256]
 *
 * `verify` is compared with `sha256sum`; the files have just been written, so both read them from the
 * page cache. `copy` is compared with one signed `PutObject` of the AWS SDK for each file, at the same
 * concurrency, into a bucket of the server that the `TEST_S3_…` variables name. BENCH_ROUNDS=n and
 * BENCH_DIR=folder are those of `npm run bench`.
 */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { forEachConcurrent } from "../src/base/map-concurrent.ts";
import { diskStore } from "../src/disk.ts";
import { createFixity } from "../src/index.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 5);
const COPY_CONCURRENCY = 8;
const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
/** Those of the first line of main.ts. */
const NODE_FLAGS = ["--max-semi-space-size=4", "--no-incremental-marking"];

const [what = "verify", amount] = process.argv.slice(2);
const parent = await mkdtemp(join(process.env["BENCH_DIR"] ?? tmpdir(), "fixity-maintenance-"));
try {
  if (what === "copy") await copies(Number(amount ?? 256) * MIB);
  else await verifications(Number(amount ?? 1024) * MIB);
} finally {
  await rm(parent, { recursive: true, force: true });
}

async function verifications(total: number): Promise<void> {
  for (const size of [16 * MIB, 256 * KIB]) {
    const { root, paths } = await filled(size, total);
    const list = paths.join("\0");
    await compare(`verify, files of ${size / KIB} KiB`, total, {
      sha256sum: () => run("xargs", ["-0", "sha256sum"], { input: list }),
      fixity: () => run(process.execPath, [...NODE_FLAGS, MAIN, "verify", "--dir", root]),
    });
  }
}

async function copies(total: number): Promise<void> {
  const env = process.env;
  const [endpoint = "", bucket = "", accessKeyId = "", secretAccessKey = ""] = [
    env["TEST_S3_ENDPOINT"],
    env["TEST_S3_BUCKET"],
    env["TEST_S3_ACCESS_KEY"],
    env["TEST_S3_SECRET_KEY"],
  ];
  const region = env["TEST_S3_REGION"] ?? "us-east-1";
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: "WHEN_REQUIRED",
  });
  const settings = {
    TO_BUCKET_ENDPOINT: endpoint,
    TO_BUCKET_REGION: region,
    TO_BUCKET_ACCESS_KEY: accessKeyId,
    TO_BUCKET_SECRET_KEY: secretAccessKey,
  };
  for (const size of [64 * KIB, 16 * MIB]) {
    const { root, paths } = await filled(size, total);
    let round = 0;
    await compare(`copy, files of ${size / KIB} KiB, ${COPY_CONCURRENCY} at a time`, total, {
      "plain uploads": async () => {
        round += 1;
        await forEachConcurrent(paths, COPY_CONCURRENCY, async (path) => {
          const Body = await readFile(path);
          await client.send(new PutObjectCommand({ Bucket: bucket, Key: `plain/${size}-${round}/${path}`, Body }));
        });
      },
      fixity: async () => {
        const to = `s3://${bucket}/copy-${size}-${randomBytes(4).toString("hex")}`;
        const args = [MAIN, "copy", root, to, "--concurrency", String(COPY_CONCURRENCY)];
        await run(process.execPath, [...NODE_FLAGS, ...args], { env: { ...env, ...settings } });
      },
    });
  }
}

/** A store of random files of one size. */
async function filled(size: number, total: number): Promise<{ root: string; paths: readonly string[] }> {
  const root = join(parent, String(size));
  await using store = diskStore({ root, durability: "none" });
  const fixity = createFixity({ store });
  const paths: string[] = [];
  for (let made = 0; made < total; made += size) {
    const bytes = randomBytes(size);
    await fixity.put(bytes);
    const hex = createHash("sha256").update(bytes).digest("hex");
    paths.push(join(root, "blobs", hex.slice(0, 2), hex));
  }
  return { root, paths };
}

/** Runs the contenders in turns, the first round to warm up, and prints medians and the ratio of the last to the first. */
async function compare(
  name: string,
  total: number,
  contenders: Readonly<Record<string, () => Promise<void>>>,
): Promise<void> {
  const rates = new Map<string, number[]>(Object.keys(contenders).map((contender) => [contender, []]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [contender, work] of Object.entries(contenders)) {
      const startedAt = performance.now();
      await work();
      const seconds = (performance.now() - startedAt) / 1000;
      if (round > 0) rates.get(contender)?.push(total / MIB / seconds);
    }
  }
  const medians = Array.from(rates, ([contender, values]) => [contender, median(values)] as const);
  console.log(name);
  for (const [contender, rate] of medians) console.log(`  ${contender.padEnd(14)} ${rate.toFixed(1)} MiB/s`);
  console.log(`  ratio          ${((medians.at(-1)?.[1] ?? 0) / (medians[0]?.[1] ?? 1)).toFixed(2)}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

async function run(program: string, args: readonly string[], { input = "", env }: RunOptions = {}): Promise<void> {
  const child = spawn(program, args, { stdio: ["pipe", "ignore", "inherit"], ...(env !== undefined && { env }) });
  child.stdin?.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}`);
}
