/**
 * Measures the commands for the maintenance of a store, each as a process of its own, against the
 * obvious tool for the same files, in turns:
 *
 *     node bench/maintenance.ts verify [MiB of each sample, 1024]
 *     node bench/maintenance.ts copy [MiB of each sample, 640]
 *     node bench/maintenance.ts import [MiB of each sample, 320]
 *
 * `verify` is compared with `sha256sum`; the files have just been written, so both read them from the
 * page cache. `copy` is compared with uploads of the same files, at the same concurrency, over HTTP to
 * a `fixity serve` that stores them in the same bucket under the same digests; the start of the server
 * is not measured, that of the command is. `import` from a prefix of the bucket is compared with itself where
 * the server is named differently, so that it reads and sends the bytes. The bucket is that of the `TEST_S3_…` variables or of a Ceph
 * gateway. BENCH_ROUNDS=n and BENCH_DIR=folder are those of `npm run bench`.
 */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { openAsBlob } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { forEachConcurrent } from "../src/base/map-concurrent.ts";
import { diskStore } from "../src/disk.ts";
import { createFixity } from "../src/index.ts";
import { ServerProcess } from "../test/helpers/server-process.ts";
import { median } from "./figures.ts";
import { withGateway } from "./s3.ts";
import type { S3Target } from "./servers/s3-target.ts";

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
  if (what === "import") await withGateway("import", (target) => imports(target, Number(amount ?? 320) * MIB));
  else if (what === "copy") await withGateway("copy", (target) => copies(target, Number(amount ?? 640) * MIB));
  else await verifications(Number(amount ?? 1024) * MIB);
} finally {
  await rm(parent, { recursive: true, force: true });
}

async function verifications(total: number): Promise<void> {
  for (const size of [16 * MIB, 256 * KIB]) {
    const { root, paths } = await filled(size, total);
    const list = paths.join("\0");
    await compare(`verify, files of ${size / KIB} KiB`, total, {
      sha256sum: () => timed(() => run("xargs", ["-0", "sha256sum"], { input: list })),
      fixity: () => timed(() => run(process.execPath, [...NODE_FLAGS, MAIN, "verify", "--dir", root])),
    });
  }
}

async function copies({ endpoint, bucket, region, accessKey, secretKey }: S3Target, total: number): Promise<void> {
  const shared = { BUCKET_ENDPOINT: endpoint, BUCKET_REGION: region };
  const secrets = { BUCKET_ACCESS_KEY: accessKey, BUCKET_SECRET_KEY: secretKey };
  const settings = (role: string): Record<string, string> =>
    Object.fromEntries(Object.entries({ ...shared, ...secrets }).map(([name, value]) => [`${role}_${name}`, value]));
  for (const size of [64 * KIB, 16 * MIB]) {
    // Small files cost requests rather than bytes: 2,000 of them outweigh the start of the command.
    const bytes = Math.min(total, 2_000 * size);
    const { root, paths } = await filled(size, bytes);
    const newPrefix = (): string => `bench-${randomBytes(6).toString("hex")}`;
    await compare(`copy, files of ${size / KIB} KiB, ${COPY_CONCURRENCY} at a time`, bytes, {
      "plain uploads": async () => {
        const env = { ...settings("UPLOAD"), UPLOAD_BUCKET_NAME: bucket, UPLOAD_BUCKET_PREFIX: newPrefix() };
        await using server = await ServerProcess.start({ dir: root, env });
        return await timed(() => forEachConcurrent(paths, COPY_CONCURRENCY, (path) => uploadFile(server.url, path)));
      },
      fixity: () => {
        const to = `s3://${bucket}/${newPrefix()}`;
        const args = [MAIN, "copy", root, to, "--concurrency", String(COPY_CONCURRENCY)];
        const env = { ...process.env, ...settings("TO") };
        return timed(() => run(process.execPath, [...NODE_FLAGS, ...args], { env }));
      },
    });
  }
}

async function imports({ endpoint, bucket, region, accessKey, secretKey }: S3Target, total: number): Promise<void> {
  const settings = (role: string, address: string): Record<string, string> => ({
    [`${role}_BUCKET_ENDPOINT`]: address,
    [`${role}_BUCKET_REGION`]: region,
    [`${role}_BUCKET_ACCESS_KEY`]: accessKey,
    [`${role}_BUCKET_SECRET_KEY`]: secretKey,
  });
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  const elsewhere = endpoint.replace("127.0.0.1", "localhost");
  for (const size of [16 * MIB, 64 * MIB]) {
    const source = `bench-${randomBytes(6).toString("hex")}`;
    for (let made = 0; made < total; made += size) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${source}/${made}`, Body: randomBytes(size) }));
    }
    const importFrom = (from: string): Promise<number> => {
      const prefix = `bench-${randomBytes(6).toString("hex")}`;
      const own = { UPLOAD_BUCKET_NAME: bucket, UPLOAD_BUCKET_PREFIX: prefix, ...settings("UPLOAD", endpoint) };
      const env = { ...process.env, ...own, ...settings("FROM", from) };
      return timed(() => run(process.execPath, [...NODE_FLAGS, MAIN, "import", `s3://${bucket}/${source}`], { env }));
    };
    await compare(`import, objects of ${size / MIB} MiB, 4 at a time`, total, {
      "read and sent": () => importFrom(elsewhere),
      "server copies": () => importFrom(endpoint),
    });
  }
  client.destroy();
}

/** Uploads a file of a store under the link that names its digest, as a stream of known length. */
async function uploadFile(server: string, path: string): Promise<void> {
  const body = await openAsBlob(path);
  const { status } = await fetch(`${server}/uploads/${basename(path)}`, { method: "PUT", body });
  if (status !== 201) throw new Error(`an upload was answered with ${status}`);
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

/** Runs the contenders, which return seconds, in turns, the first round to warm up, and prints medians and the ratio of the last to the first. */
async function compare(
  name: string,
  total: number,
  contenders: Readonly<Record<string, () => Promise<number>>>,
): Promise<void> {
  const rates = new Map<string, number[]>(Object.keys(contenders).map((contender) => [contender, []]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [contender, work] of Object.entries(contenders)) {
      const seconds = await work();
      if (round > 0) rates.get(contender)?.push(total / MIB / seconds);
    }
  }
  const medians = Array.from(rates, ([contender, values]) => [contender, median(values)] as const);
  console.log(name);
  for (const [contender, rate] of medians) console.log(`  ${contender.padEnd(14)} ${rate.toFixed(1)} MiB/s`);
  console.log(`  ratio          ${((medians.at(-1)?.[1] ?? 0) / (medians[0]?.[1] ?? 1)).toFixed(2)}`);
}

/** Seconds. */
async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
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
