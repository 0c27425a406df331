import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Build } from "./build.ts";
import { OWN_FLAGS } from "./contender.ts";
import { reportOwn, type Series } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS } from "./rounds.ts";
import { undoneIfStopped } from "./stopping.ts";

/** Kernels count processor time in hundredths of a second (`sysconf(_SC_CLK_TCK)`). */
const TICKS_PER_SECOND = 100;

/** Small uploads in one round of one server. */
const UPLOADS = 6000;

/** A server, and the load that it gets. */
interface Case {
  readonly workers: number;
  readonly connections: number;
}

/**
 * Processor time of all processes of a server per small upload, and uploads per second, of servers
 * with one process and with several.
 *
 * Uploads that arrive together share the cost of a turn of the event loop and of a batch of writes,
 * so the cost depends on the number of connections per process. Therefore several workers are
 * measured with as many connections per process as one process has, and with as many in all.
 */
export async function workers(build: Build, parent: string): Promise<void> {
  const most = Math.max(2, availableParallelism());
  const counts = Array.from(new Set([2, most]));
  await compare(build, parent, [
    ...counts.map((workers) => ({ workers, connections: 16 * workers })),
    { workers: 1, connections: 16 },
  ]);
  await compare(build, parent, [
    ...counts.map((workers) => ({ workers, connections: 32 })),
    { workers: 1, connections: 32 },
  ]);
}

async function compare(build: Build, parent: string, cases: readonly Case[]): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const servers: Served[] = [];
  for (const one of cases) servers.push(stack.use(await Served.start(build, parent, one)));
  const cpu = servers.map(({ name }): Series => ({ name, values: [] }));
  const rate = servers.map(({ name }): Series => ({ name, values: [] }));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [index, server] of servers.entries()) {
      const before = server.processorSeconds;
      const load = { size: 4096, connections: cases[index]?.connections ?? 1, count: UPLOADS, isRaw: true };
      const perSecond = await uploadSmall(server.port, "/uploads", load);
      const used = server.processorSeconds - before;
      if (round === 0) continue;
      cpu[index]?.values.push((1000 * used) / UPLOADS);
      rate[index]?.values.push(perSecond);
    }
  }
  reportOwn("Processor time per upload of 4 KiB", "ms", cpu);
  reportOwn("Uploads of 4 KiB", "per second", rate);
}

/** A running `fixity serve`. */
class Served implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #root: string;
  readonly #isStopped: () => void;

  private constructor(
    child: ChildProcess,
    facts: { readonly name: string; readonly port: number; readonly root: string },
  ) {
    this.name = facts.name;
    this.port = facts.port;
    this.#root = facts.root;
    this.#child = child;
    this.#isStopped = undoneIfStopped(() => this[Symbol.asyncDispose]());
  }

  static async start(build: Build, parent: string, { workers, connections }: Case): Promise<Served> {
    const root = await mkdtemp(join(parent, "fixity-bench-"));
    const args = [...OWN_FLAGS, build.command, "serve", "--workers", String(workers), "--log-level", "warn"];
    const child = spawn(process.execPath, args, {
      env: { ...process.env, PORT: "0", UPLOAD_DIR: root },
      stdio: ["ignore", "inherit", "pipe"],
    });
    let greeting = "";
    for await (const text of child.stderr) {
      greeting += String(text);
      if (greeting.includes("Try it")) break;
    }
    const port = Number(/:(\d+), /.exec(greeting)?.[1]);
    const name = `${workers === 1 ? "one process" : `${workers} workers`}, ${connections} connections`;
    return new Served(child, { name, port, root });
  }

  /** Processor time that its processes have used so far. */
  get processorSeconds(): number {
    const own = this.#child.pid ?? 0;
    return ticksOf(own, (parent, pid) => pid === own || parent === own) / TICKS_PER_SECOND;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill();
      await once(this.#child, "exit");
    }
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** The ticks of all processes that are selected (proc_pid_stat(5): fields 4, 14 and 15). */
function ticksOf(own: number, isSelected: (parent: number, pid: number) => boolean): number {
  let ticks = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(name);
    if (isSelected(Number(fields[1]), Number(name))) ticks += Number(fields[11]) + Number(fields[12]);
  }
  if (ticks === 0) throw new Error(`process ${own} has ended`);
  return ticks;
}

/** The fields after the command, which is in parentheses; none of a process that has just ended. */
function statOf(pid: string): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
