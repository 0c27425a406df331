import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { CHILD_ENV } from "./child-env.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Options of a server process. */
export interface ServerProcessOptions {
  /** The folder of its disk store. */
  readonly dir: string;
  /** The environment of the process, in addition to `PORT`, `UPLOAD_DIR` and the test's `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that starts it, and must replace itself by the command in its last arguments. */
  readonly under?: readonly string[];
  /** The path of the program. @default that of this version, from its source */
  readonly main?: string;
}

/** How a process ended. One of the two is `null`. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that runs `fixity serve` on a free port of loopback. Disposing kills it if it is still running. */
export class ServerProcess implements AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the process has ended, for whatever reason. */
  readonly exit: Promise<Exit>;
  readonly #child: Child;
  readonly #output: readonly string[];

  private constructor(child: Child, { port, output }: Started) {
    this.#child = child;
    this.#output = output;
    this.pid = child.pid ?? 0;
    this.port = port;
    this.exit = exitOf(child);
    // a test that fails early must leave no server behind
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
  }

  /** Resolves when the server listens. Rejects with its output if it ends before. */
  static async start({ dir, env = {}, under = [], main = MAIN }: ServerProcessOptions): Promise<ServerProcess> {
    const [program, ...args] = [...under, process.execPath, main, "serve"];
    const child = spawn(program ?? process.execPath, args, {
      env: { ...CHILD_ENV, PORT: "0", UPLOAD_DIR: dir, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new ServerProcess(child, await started(child));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** All that the process has written: the greeting, then log lines. */
  get output(): string {
    return this.#output.join("");
  }

  /** The number of its open files and sockets. Linux only. */
  async openFiles(): Promise<number> {
    return (await readdir(`/proc/${this.pid}/fd`)).length;
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.#child.kill(signal);
    return this.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

interface Started {
  readonly port: number;
  readonly output: readonly string[];
}

function started(child: Child): Promise<Started> {
  const output: string[] = [];
  return new Promise((resolve, reject) => {
    const take = (text: string): void => {
      output.push(text);
      const port = /Listening on http:\/\/[^\s]*:(\d+), /.exec(output.join(""))?.[1];
      if (port !== undefined) resolve({ port: Number(port), output });
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      reject(new Error(`the server ended (${signal ?? code}) before it listened: ${output.join("")}`));
    });
  });
}

async function exitOf(child: Child): Promise<Exit> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return { code: child.exitCode, signal: child.signalCode };
}
