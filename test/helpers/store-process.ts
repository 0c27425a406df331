import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Step, StepResult } from "./store-child.ts";

const CHILD = fileURLToPath(new URL("store-child.ts", import.meta.url));

/** A command that mounts an empty tmpfs of `size` (`2m`) on a folder, for the process that it starts only. */
export function onTmpfs(folder: string, size: string): readonly string[] {
  return privately(`mount -t tmpfs -o size=${size} tmpfs "$1"`, folder);
}

/** A command that makes a folder read-only, for the process that it starts only. */
export function readOnly(folder: string): readonly string[] {
  return privately(`mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"`, folder);
}

/** In a separate mount namespace: nothing has to be unmounted, however the process ends. */
function privately(mount: string, folder: string): readonly string[] {
  return ["unshare", "--mount", "sh", "-ec", `${mount}; shift; exec "$@"`, "sh", folder];
}

/** Options of a store process. */
export interface StoreProcessOptions {
  /** A command that starts it, such as {@link onTmpfs}. */
  readonly under?: readonly string[];
  /** Threads for file work. With one, the calls in a trace are sequential and can be counted. @default 4 */
  readonly threads?: number;
  /** How far the clock of the process is ahead, in milliseconds. @default 0 */
  readonly clockAhead?: number;
}

/** A module that moves the clock of a process. */
function clockModule(ahead: number): string {
  const source = `const Real = Date; const ahead = ${ahead};
    globalThis.Date = class extends Real {
      constructor(...given) { given.length === 0 ? super(Real.now() + ahead) : super(...given); }
      static now() { return Real.now() + ahead; }
    };`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** A process with a disk store that executes steps one by one. Disposing kills it. */
export class StoreProcess implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @param root the store's folder */
  static async start(
    root: string,
    { under = [], threads = 4, clockAhead = 0 }: StoreProcessOptions = {},
  ): Promise<StoreProcess> {
    const [program, ...args] = [...under, process.execPath, "--import", clockModule(clockAhead), CHILD, root] as const;
    const env = { ...process.env, UV_THREADPOOL_SIZE: String(threads) };
    const started = new StoreProcess(spawn(program, args, { env, stdio: ["pipe", "pipe", "inherit"] }));
    await started.#answer();
    return started;
  }

  /** Executes one step. */
  async run(step: Step): Promise<StepResult> {
    this.#child.stdin.write(`${JSON.stringify(step)}\n`);
    return JSON.parse(await this.#answer()) as StepResult;
  }

  /** Suspends the process (SIGSTOP) until it is resumed. */
  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #answer(): Promise<string> {
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error("the store process has ended");
    return answer.value;
  }
}
