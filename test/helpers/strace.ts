import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { parseTrace, type TracedCall } from "./trace.ts";

/** The system calls with which a store writes and a server responds. */
export const WRITING_CALLS: readonly string[] = (
  "openat mkdir mkdirat write writev pwrite64 pwritev fsync fdatasync sync_file_range " +
  "rename renameat renameat2 link linkat unlink unlinkat sendto sendmsg"
).split(" ");

/** Options of a trace. */
export interface StraceOptions {
  /** @default WRITING_CALLS */
  readonly calls?: readonly string[];
  /** Traces only calls on these paths, which need not exist yet. @default all paths */
  readonly paths?: readonly string[];
  /** Whether to trace only the main thread, not those that work on files. @default false */
  readonly mainThreadOnly?: boolean;
  /**
   * Faults for the traced calls, as in strace(1): `fsync:error=EIO:when=1`, `link:signal=SIGKILL`.
   * strace counts the calls of each thread separately, from the start of the trace.
   */
  readonly inject?: readonly string[];
}

/** strace on a running process and all its threads. Disposing ends the trace; the process continues. */
export class Strace implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
  }

  /** Resolves when every thread is being traced. */
  static async attach(pid: number, options: StraceOptions = {}): Promise<Strace> {
    const { calls = WRITING_CALLS, paths = [], inject = [], mainThreadOnly = false } = options;
    const folder = await mkdtemp(join(tmpdir(), "fixity-strace-"));
    const filters = [...paths.flatMap((path) => ["-P", path]), ...inject.flatMap((rule) => ["-e", `inject=${rule}`])];
    const args = [
      ...(mainThreadOnly ? [] : ["-f"]),
      "-yy",
      "-s",
      "128",
      "-o",
      join(folder, "trace"),
      "-e",
      `trace=${calls.join(",")}`,
      ...filters,
    ];
    const child = spawn("strace", [...args, "-p", String(pid)], { stdio: ["ignore", "ignore", "pipe"] });
    try {
      await attached(child, pid);
      return new Strace(child, folder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends the trace and returns its calls. If the process is being killed, wait for its end first. */
  async calls(): Promise<TracedCall[]> {
    await this.#end();
    return parseTrace(await readFile(join(this.#folder, "trace"), "utf8"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    // strace hangs if it detaches from threads that are dying; the kernel detaches it from those
    const force = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(force);
  }
}

async function attached(child: ChildProcessByStdio<null, null, Readable>, pid: number): Promise<void> {
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes(`Process ${pid} attached`)) resolve();
    });
    child.once("error", reject);
    child.once("close", () => reject(new Error(`strace ended: ${said}`)));
  });
}
