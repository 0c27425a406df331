/**
 * A soak: several instances over one store behind nginx, with real clients, while instances are
 * killed and started again.
 *
 *     npm run soak                                       5 minutes on a disk, one instance killed every 10 s
 *     npm run soak -- --store s3                         the same on a Ceph gateway
 *     npm run soak -- --minutes 30 --kill-seconds 0      memory and descriptors of instances that keep running
 *     npm run soak -- --workers 2 --cache 0              other settings of the instances
 *
 * All clients share a line of `--rate` bytes per second (default 8 MiB), so that uploads are running
 * whenever an instance is killed. What was acknowledged is recorded. At the end every link is read from every instance, and the
 * store is verified: any difference fails the run. Everything that was
 * stored is removed.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createClient } from "../../src/client/node.ts";
import { runCommand, jsonLines } from "../helpers/command.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { SlowProxy } from "../helpers/slow-proxy.ts";
import { bucketSettings, startGateway } from "../s3/gateway.ts";
import { CLIENTS } from "./clients.ts";

const MIB = 1024 * 1024;
const SAMPLE_INTERVAL_MS = 5000;
/** Clients of each kind at a time, and readers. */
const CLIENTS_OF_A_KIND = 2;
const READERS = 2;
/** The part of a run in which caches and pools fill up, which a slope leaves out. */
const WARM_UP = 0.25;

/** Options of a soak. */
export interface SoakOptions {
  readonly store: "disk" | "s3";
  readonly seconds: number;
  /** The time between two kills; `null` for none. */
  readonly killSeconds: number | null;
  /** Bytes per second of all uploads together, and of all downloads. */
  readonly rate?: number;
  /** @default 3 */
  readonly instances?: number;
  /** More settings of each instance. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What happened. */
export interface SoakReport {
  /** Acknowledged uploads by kind of client. */
  readonly stored: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly reads: number;
  /** Further attempts of uploads, of which `fixity put` reports none. */
  readonly retries: number;
  /** Reads that ended early and had to be repeated. */
  readonly brokenReads: number;
  readonly kills: number;
  /** Complete reads with other bytes. */
  readonly wrong: readonly string[];
  /** Acknowledged links that an instance did not find. */
  readonly lost: readonly string[];
  /** Clients that gave up. */
  readonly failures: readonly string[];
  /** Of instances that were not killed: change per hour of resident memory (bytes) and descriptors. */
  readonly slopes: readonly { readonly memory: number; readonly descriptors: number }[];
}

/** Runs a soak. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-soak-"));
  const gateway = options.store === "s3" ? await startGateway() : null;
  try {
    const settings = gateway === null ? {} : bucketSettings(gateway);
    const env = { UPLOAD_LOG_LEVEL: "warn", UPLOAD_TRUSTED_PROXIES: "127.0.0.1", ...settings, ...options.env };
    await using fleet = await Fleet.start({ dir: join(folder, "data"), env, count: options.instances ?? 3 });
    const { rate = 8 * MIB } = options;
    await using line = await SlowProxy.start(fleet.url, { upload: rate, download: rate });
    const report = await new Soak(fleet, line, { ...options, folder }).run();
    await fleet.verify();
    return report;
  } finally {
    await gateway?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface FleetOptions {
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly count: number;
}

/** Instances over one store, each on its own port, behind nginx. */
class Fleet implements AsyncDisposable {
  readonly #options: FleetOptions;
  readonly #instances: ServerProcess[] = [];
  #front: FrontServer | null = null;

  private constructor(options: FleetOptions) {
    this.#options = options;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    try {
      for (let index = 0; index < options.count; index += 1) fleet.#instances.push(await fleet.#startInstance(0));
      fleet.#front = await FrontServer.nginxWith(upstreamOf(fleet.#instances.map(({ port }) => port)), {});
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get instances(): readonly ServerProcess[] {
    return this.#instances;
  }

  /** The address of nginx. */
  get url(): string {
    return this.#front?.url ?? assert.fail("the front server is not running");
  }

  /** Kills an instance, and starts another on its port. */
  async replace(index: number): Promise<void> {
    const instance = this.#instances[index] ?? assert.fail();
    await instance.stop("SIGKILL");
    for (let tries = 0; ; tries += 1) {
      try {
        this.#instances[index] = await this.#startInstance(instance.port);
        return;
      } catch (error) {
        // An outgoing connection may have the port for a moment.
        if (tries === 10 || !String(error).includes("is taken")) throw error;
        await sleep(500);
      }
    }
  }

  /** Stops all instances gracefully, and reads every stored blob again. */
  async verify(): Promise<void> {
    const { dir, env } = this.#options;
    for (const instance of this.#instances) assert.deepEqual(await instance.stop(), { code: 0, signal: null });
    const { out, err } = await runCommand(["verify", "--json"], { env: { ...env, UPLOAD_DIR: dir } });
    const { status, intact, ...others } = jsonLines(out).at(-1) ?? assert.fail(err);
    assert.equal(status, "done");
    assert.ok(Number(intact) > 0);
    for (const kind of ["damaged", "missing", "unreadable"]) assert.equal(others[kind], 0, kind);
    const collected = await runCommand(["gc"], { env: { ...env, UPLOAD_DIR: dir } });
    assert.equal(collected.code, 0, collected.err);
    if (env["UPLOAD_BUCKET_NAME"] === undefined) assert.deepEqual(await readdir(join(dir, "staging")), []);
  }

  async #startInstance(port: number): Promise<ServerProcess> {
    const { dir, env } = this.#options;
    return ServerProcess.start({ dir, env: { ...env, PORT: String(port) } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#front?.[Symbol.asyncDispose]();
    for (const instance of this.#instances) await instance[Symbol.asyncDispose]();
  }
}

/** nginx keeps connections to the instances, and leaves one out for a second after it has failed. */
function upstreamOf(ports: readonly number[]): string {
  const servers = ports.map((port) => `    server 127.0.0.1:${port} max_fails=1 fail_timeout=1s;`);
  return `
upstream fixity {
${servers.join("\n")}
    keepalive 16;
}
server {
    listen 80;
    location / {
        proxy_pass http://fixity;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Upload-Draft-Interop-Version "";
        proxy_request_buffering off;
        proxy_read_timeout 5m;
        client_max_body_size 0;
    }
}`;
}

/** An acknowledged file. */
interface StoredFile {
  readonly link: string;
  readonly sha256: string;
  readonly size: number;
}

/** One run. */
class Soak {
  readonly #fleet: Fleet;
  readonly #options: SoakOptions & { readonly folder: string };
  readonly #random = new Random();
  readonly #line: SlowProxy;
  readonly #ended = new AbortController();
  readonly #files: StoredFile[] = [];
  readonly #stored: Record<string, number> = {};
  readonly #wrong: string[] = [];
  readonly #lost: string[] = [];
  readonly #failures: string[] = [];
  readonly #samples = new Map<ServerProcess, Sample[]>();
  #bytes = 0;
  #reads = 0;
  #brokenReads = 0;
  #retries = 0;
  #kills = 0;

  constructor(fleet: Fleet, line: SlowProxy, options: SoakOptions & { readonly folder: string }) {
    this.#fleet = fleet;
    this.#line = line;
    this.#options = options;
  }

  async run(): Promise<SoakReport> {
    const { seconds } = this.#options;
    const clients = Object.keys(CLIENTS).flatMap((kind) => Array(CLIENTS_OF_A_KIND).fill(kind) as string[]);
    const work = Promise.all([
      ...clients.map((kind, index) => this.#upload(kind, join(this.#options.folder, `client-${index}`))),
      ...Array.from({ length: READERS }, () => this.#read()),
      this.#kill(),
      this.#sample(),
    ]);
    await Promise.race([sleep(seconds * 1000), work]);
    this.#ended.abort();
    await work;
    await this.#readAll();
    return {
      stored: this.#stored,
      bytes: this.#bytes,
      reads: this.#reads,
      retries: this.#retries,
      brokenReads: this.#brokenReads,
      kills: this.#kills,
      wrong: this.#wrong,
      lost: this.#lost,
      failures: this.#failures,
      slopes: this.#kills > 0 ? [] : [...this.#samples.values()].map(slopesOf),
    };
  }

  get #isEnded(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Uploads one file after another. Most are small; some have several parts. */
  async #upload(kind: string, folder: string): Promise<void> {
    await mkdir(folder);
    const uploadWith = CLIENTS[kind] ?? assert.fail(kind);
    for (let count = 0; !this.#isEnded; count += 1) {
      const size =
        this.#random.integer(0, 4) === 0 ? this.#random.integer(1, 12 * MIB) : this.#random.integer(1, 65_536);
      const content = this.#random.bytes(size);
      const name = `${count}.bin`;
      try {
        const onRetry = (): void => void (this.#retries += 1);
        const link = await uploadWith(content, { url: this.#line.url, folder, name, onRetry });
        this.#files.push({ link, sha256: sha256(content), size });
        if (!link.startsWith(`/uploads/${sha256(content)}`)) this.#wrong.push(`${kind}: ${link}`);
        this.#stored[kind] = (this.#stored[kind] ?? 0) + 1;
        this.#bytes += size;
      } catch (error) {
        this.#failures.push(`${kind}, ${size} bytes: ${String(error)}`);
      }
      await rm(join(folder, name), { force: true });
    }
  }

  /** Reads acknowledged files: with plain requests, and with the client, which resumes. */
  async #read(): Promise<void> {
    const client = createClient({ endpoint: `${this.#line.url}/uploads` });
    while (!this.#isEnded) {
      await sleep(50);
      if (this.#files.length === 0) continue;
      const file = this.#random.pick(this.#files);
      this.#reads += 1;
      if (this.#random.integer(0, 1) === 0) await this.#readOnce(this.#line.url, file);
      else {
        const hash = createHash("sha256");
        try {
          const { stream } = await client.download(this.#line.url + file.link);
          for await (const chunk of stream) hash.update(chunk);
          if (hash.digest("hex") !== file.sha256) this.#wrong.push(file.link);
        } catch (error) {
          this.#failures.push(`download of ${file.link}: ${String(error)}`);
        }
      }
    }
    client.close();
  }

  /** @returns `false` if the response was broken off, or was a failure that may pass */
  async #readOnce(url: string, { link, sha256: expected }: StoredFile): Promise<boolean> {
    try {
      const response = await fetch(url + link);
      const found = sha256(Buffer.from(await response.arrayBuffer()));
      if (response.status === 404) this.#lost.push(`${link} at ${url}`);
      if (response.status >= 500) this.#brokenReads += 1;
      if (response.status === 200 && found !== expected) this.#wrong.push(`${link} at ${url}`);
      return response.status < 500;
    } catch {
      this.#brokenReads += 1;
      return false;
    }
  }

  async #kill(): Promise<void> {
    const { killSeconds } = this.#options;
    if (killSeconds === null) return;
    for (let index = 0; ; index = (index + 1) % this.#fleet.instances.length) {
      await sleep(killSeconds * 1000, undefined, { signal: this.#ended.signal }).catch(() => null);
      if (this.#isEnded) return;
      await this.#fleet.replace(index);
      this.#kills += 1;
    }
  }

  async #sample(): Promise<void> {
    const startedAt = performance.now();
    while (!this.#isEnded) {
      for (const instance of this.#fleet.instances) {
        const sample = await sampleOf(instance, performance.now() - startedAt).catch(() => null);
        if (sample === null) continue;
        const samples = this.#samples.get(instance) ?? [];
        this.#samples.set(instance, samples);
        samples.push(sample);
      }
      await sleep(SAMPLE_INTERVAL_MS, undefined, { signal: this.#ended.signal }).catch(() => null);
    }
  }

  /** Every instance serves every acknowledged file. */
  async #readAll(): Promise<void> {
    for (const { url } of this.#fleet.instances) {
      for (const file of this.#files) {
        if (!(await this.#readOnce(url, file))) this.#failures.push(`${file.link} cannot be read at ${url}`);
      }
    }
  }
}

/** One observation of a process. */
interface Sample {
  readonly atMs: number;
  readonly memory: number;
  readonly descriptors: number;
}

async function sampleOf(instance: ServerProcess, atMs: number): Promise<Sample> {
  const status = await readFile(`/proc/${instance.pid}/status`, "utf8");
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return { atMs, memory: kib * 1024, descriptors: await instance.openFiles() };
}

/** Least squares over the samples after the warm-up, per hour. */
function slopesOf(samples: readonly Sample[]): { memory: number; descriptors: number } {
  const steady = samples.slice(Math.floor(samples.length * WARM_UP));
  const slope = (value: (sample: Sample) => number): number => {
    const meanAt = mean(steady.map(({ atMs }) => atMs));
    const meanValue = mean(steady.map(value));
    let covariance = 0;
    let variance = 0;
    for (const sample of steady) {
      covariance += (sample.atMs - meanAt) * (value(sample) - meanValue);
      variance += (sample.atMs - meanAt) ** 2;
    }
    return (covariance / variance) * 3_600_000;
  };
  return { memory: slope(({ memory }) => memory), descriptors: slope(({ descriptors }) => descriptors) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      store: { type: "string", default: "disk" },
      minutes: { type: "string", default: "5" },
      "kill-seconds": { type: "string", default: "10" },
      rate: { type: "string", default: String(8 * MIB) },
      workers: { type: "string" },
      cache: { type: "string" },
    },
  });
  const killSeconds = Number(values["kill-seconds"]);
  const report = await soak({
    store: values.store === "s3" ? "s3" : "disk",
    seconds: Number(values.minutes) * 60,
    killSeconds: killSeconds > 0 ? killSeconds : null,
    rate: Number(values.rate),
    env: {
      ...(values.workers !== undefined && { UPLOAD_WORKERS: values.workers }),
      ...(values.cache !== undefined && { UPLOAD_CACHE: values.cache }),
    },
  });
  console.log(JSON.stringify(report, null, 2));
  const faults = report.wrong.length + report.lost.length + report.failures.length;
  console.log(faults === 0 ? "0 wrong, 0 lost, every client finished" : `${faults} faults`);
  process.exitCode = faults === 0 ? 0 : 1;
}

if (import.meta.main) await main();
