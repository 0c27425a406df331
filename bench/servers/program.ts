/** Servers that are programs of their own: a script starts one, measures it through `/proc`, and ends it. */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import type { Usage } from "./serve.ts";

/** Clock ticks per second of `/proc/<pid>/stat`: the same on every Linux. */
const TICKS_PER_SECOND = 100;

/** A program to run as a server. */
interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly options?: SpawnOptions;
  /** The port on which it listens, or how to read it from what it prints. */
  readonly port: number | ((child: ChildProcess) => Promise<number>);
}

/**
 * Runs a program until the parent process disconnects, and reports its port and, on request, its
 * usage, child processes included.
 */
export async function serveProgram({ command, args, options = {}, port }: Program): Promise<void> {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], ...options });
  child.once("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  child.once("exit", () => process.exit(1));
  process.on("disconnect", () => {
    child.removeAllListeners("exit").once("exit", () => process.exit(0));
    child.kill("SIGTERM");
    // The wait of a graceful shutdown is for clients that no longer exist.
    setTimeout(() => child.kill("SIGKILL"), 1000);
  });
  const open = typeof port === "number" ? port : await port(child);
  while (!(await accepts(open))) await new Promise((done) => setTimeout(done, 20));
  process.on("message", () => process.send?.(usage(child.pid ?? 0)));
  process.send?.({ port: open, isProgram: true });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => done(true)).once("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** The sum over a process and its children. */
function usage(pid: number): Usage {
  const all = [pid, ...childrenOf(pid)].map(usageOf);
  return {
    peakMemory: all.reduce((sum, { peakMemory }) => sum + peakMemory, 0),
    cpu: all.reduce((sum, { cpu }) => sum + cpu, 0),
  };
}

function usageOf(pid: number): Usage {
  const [, peak = "0"] = /^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  const [user, system] = statOf(pid).slice(11, 13).map(Number);
  return { peakMemory: Number(peak) * 1024, cpu: ((user ?? 0) + (system ?? 0)) / TICKS_PER_SECOND };
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((id) => parentOf(id) === pid);
}

/** The parent of a process; `null` if the process has ended meanwhile. */
function parentOf(pid: number): number | null {
  try {
    return Number(statOf(pid)[1]);
  } catch {
    return null;
  }
}

/** The fields of `/proc/<pid>/stat` after the program's name, from the state on. */
function statOf(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}
