import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Build } from "./build.ts";
import { OWN_FLAGS } from "./contender.ts";
import { undoneIfStopped } from "./stopping.ts";

/** Kernels count processor time in hundredths of a second (`sysconf(_SC_CLK_TCK)`). */
const TICKS_PER_SECOND = 100;

/** A running `fixity serve`. */
export class Served implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #root: string;
  readonly #isStopped: () => void;

  private constructor(child: ChildProcess, port: number, root: string) {
    this.port = port;
    this.#root = root;
    this.#child = child;
    this.#isStopped = undoneIfStopped(() => this[Symbol.asyncDispose]());
  }

  /** @param flags of `fixity serve` */
  static async start(build: Build, parent: string, flags: readonly string[]): Promise<Served> {
    const root = await mkdtemp(join(parent, "fixity-bench-"));
    const args = [...OWN_FLAGS, build.command, "serve", "--log-level", "warn", ...flags];
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
    return new Served(child, port, root);
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
