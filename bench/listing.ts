/**
 * Measures what `fixity ls` and `fixity gc` cost in a store of very many files: their time, and the
 * peak memory of their process, which must not depend on the number.
 *
 *     node bench/listing.ts s3 [count, 1000000]      a server that only lists (servers/listed-bucket.ts)
 *     node bench/listing.ts disk [count, 1000000]    files of a few bytes in BENCH_DIR, made first
 *
 * Each command runs over a sixteenth of the files, too. What is measured includes the start of the
 * process.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { diskStore } from "../src/disk.ts";

const MIB = 1024 * 1024;
/** Those of the first line of main.ts. */
const NODE_FLAGS = ["--max-semi-space-size=4", "--no-incremental-marking"];
const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const BUCKET = fileURLToPath(new URL("servers/listed-bucket.ts", import.meta.url));
const COMMANDS = [["ls"], ["ls", "--summary"], ["gc"]];
/** How often the memory of a process is read, which is a peak since its start. */
const SAMPLE_MS = 20;

const [where = "s3", amount = "1000000"] = process.argv.slice(2);
for (const count of [Math.ceil(Number(amount) / 16), Number(amount)]) {
  await using store = where === "disk" ? await filledFolder(count) : await listedBucket(count);
  for (const command of COMMANDS) {
    const { seconds, bytes } = await measured([...NODE_FLAGS, MAIN, ...command], store.env);
    const figures = `${seconds.toFixed(1).padStart(6)} s  ${(bytes / MIB).toFixed(0).padStart(4)} MiB`;
    console.log(`${where}, ${count} files  ${command.join(" ").padEnd(12)} ${figures}`);
  }
}

interface Store extends AsyncDisposable {
  /** The settings of the store. */
  readonly env: Readonly<Record<string, string>>;
}

async function listedBucket(count: number): Promise<Store> {
  const server = spawn(process.execPath, [BUCKET, String(count)], { stdio: ["pipe", "pipe", "inherit"] });
  const [url] = (await once(createInterface({ input: server.stdout }), "line")) as [string];
  return {
    env: {
      UPLOAD_BUCKET_NAME: "listed",
      UPLOAD_BUCKET_ENDPOINT: url,
      UPLOAD_BUCKET_REGION: "none",
      UPLOAD_BUCKET_ACCESS_KEY: "any",
      UPLOAD_BUCKET_SECRET_KEY: "any",
    },
    [Symbol.asyncDispose]: async () => {
      server.stdin.end();
      await once(server, "close");
    },
  };
}

/** A store whose files are made without the service, which would take minutes. */
async function filledFolder(count: number): Promise<Store> {
  const root = await mkdtemp(join(process.env["BENCH_DIR"] ?? tmpdir(), "fixity-listing-"));
  await using store = diskStore({ root });
  await store.check();
  for (let fan = 0; fan < 256; fan += 1) {
    const folder = join(root, "blobs", fan.toString(16).padStart(2, "0"));
    mkdirSync(folder, { recursive: true });
    for (let index = fan; index < count; index += 256) {
      const hex = fan.toString(16).padStart(2, "0") + index.toString(16).padStart(62, "0");
      writeFileSync(join(folder, hex), "bytes", { mode: 0o444 });
    }
  }
  return {
    env: { UPLOAD_DIR: root },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

async function measured(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ seconds: number; bytes: number }> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, ...env },
  });
  let bytes = 0;
  const sample = async (): Promise<void> => {
    const status = await readFile(`/proc/${child.pid}/status`, "utf8").catch(() => "");
    bytes = Math.max(bytes, Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0) * 1024);
  };
  const timer = setInterval(() => void sample(), SAMPLE_MS);
  const [code] = (await once(child, "close")) as [number | null];
  clearInterval(timer);
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
  return { seconds: (performance.now() - startedAt) / 1000, bytes };
}
