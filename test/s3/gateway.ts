/**
 * The S3 server that the tests talk to: the one that the TEST_S3_… variables name, or a Ceph gateway that
 * scripts/ceph-s3.sh starts in a new folder for each test file and removes afterwards.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rmdir } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SCRIPT = fileURLToPath(new URL("../../scripts/ceph-s3.sh", import.meta.url));

const run = promisify(execFile);

/** The server, as options of a store. */
export interface Gateway {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Runs the server's own garbage collection; `null` if the tests do not control the server. */
  readonly collectGarbage: (() => Promise<void>) | null;
  readonly stop: () => Promise<void>;
}

/**
 * Why the tests with a server must be skipped, or `null`. In CI they are never skipped: Ceph is
 * installed if it is missing, and a server that does not start fails the run.
 */
export function whyNoGateway(): string | null {
  if (process.env["TEST_S3_ENDPOINT"] !== undefined || process.env["CI"] === "true") return null;
  const isInstalled = ["ceph-mon", "ceph-osd", "radosgw"].every(
    (program) => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0,
  );
  return isInstalled ? null : "needs a server: TEST_S3_… variables, or Ceph's packages (scripts/ceph-s3.sh)";
}

/** Uses the server that the environment names, or starts one. */
export async function startGateway(): Promise<Gateway> {
  if (process.env["TEST_S3_ENDPOINT"] !== undefined) {
    return { ...settingsFrom(process.env), collectGarbage: null, stop: async () => undefined };
  }
  const parent = await mkdtemp(join(tmpdir(), "fixity-ceph-"));
  const folder = join(parent, "ceph");
  const env = { ...process.env, CEPH_S3_PORT: String(await freePorts()) };
  const { stdout } = await run(SCRIPT, ["start", folder], { env }).catch(async (error: unknown) => {
    // unless it contains the logs that explain a failure
    await rmdir(parent).catch(() => null);
    throw error;
  });
  const settings = Object.fromEntries(
    [...stdout.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
  return {
    ...settingsFrom(settings),
    collectGarbage: async () => void (await run(SCRIPT, ["gc", folder])),
    stop: async () => {
      await run(SCRIPT, ["stop", folder]);
      await rmdir(parent);
    },
  };
}

function settingsFrom(env: Readonly<Record<string, string | undefined>>): Omit<Gateway, "collectGarbage" | "stop"> {
  const value = (name: string) => env[name] ?? assert.fail(`${name} is missing`);
  return {
    endpoint: value("TEST_S3_ENDPOINT"),
    region: env["TEST_S3_REGION"] ?? "us-east-1",
    bucket: value("TEST_S3_BUCKET"),
    accessKey: value("TEST_S3_ACCESS_KEY"),
    secretKey: value("TEST_S3_SECRET_KEY"),
  };
}

/** The settings of `fixity` for the server's bucket. */
export function bucketSettings(gateway: Gateway): Record<string, string> {
  return {
    UPLOAD_BUCKET_NAME: gateway.bucket,
    UPLOAD_BUCKET_ENDPOINT: gateway.endpoint,
    UPLOAD_BUCKET_REGION: gateway.region,
    UPLOAD_BUCKET_ACCESS_KEY: gateway.accessKey,
    UPLOAD_BUCKET_SECRET_KEY: gateway.secretKey,
  };
}

/** The first of fifty free ports for the gateway, below the range of ephemeral ports. */
async function freePorts(): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const first = 20_000 + Math.floor(Math.random() * 200) * 50;
    const needed = [first, first + 1, ...Array.from({ length: 8 }, (_, index) => first + 10 + index)];
    const free = await Promise.all(needed.map(isFree));
    if (free.every(Boolean)) return first;
  }
  return assert.fail("no ports are free");
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once("error", () => resolve(false));
  server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  return promise;
}

/**
 * Runs suites on a real gateway, which is started for this test file and stopped after it. Without a
 * gateway and outside CI, one skipped test states why.
 */
export async function onGateway(name: string, suites: readonly ((gateway: Gateway) => void)[]): Promise<void> {
  const missing = whyNoGateway();
  if (missing !== null) {
    test(name, { skip: missing });
    return;
  }
  const gateway = await startGateway();
  after(async () => gateway.stop());
  for (const suite of suites) suite(gateway);
}
