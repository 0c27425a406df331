import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** What a command has written, and its exit code: as shells have it where a signal ended the process. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** How a test wants its command. */
export interface CommandOptions {
  /** Nothing of the test's own environment reaches the command but this and `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command to start it with, which must end in running what follows in its own place. */
  readonly under?: readonly string[];
  readonly cwd?: string;
  /** What comes in on standard input. @default nothing */
  readonly input?: string | Uint8Array;
}

/** `fixity <args>` as a process of its own. Disposing kills it where it still runs. */
export class Command implements AsyncDisposable {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcessWithoutNullStreams;
  #out = "";
  #err = "";

  constructor(args: readonly string[], { env = {}, under = [], cwd = tmpdir(), input = "" }: CommandOptions = {}) {
    const [program, ...rest] = [...under, process.execPath, MAIN, ...args];
    this.#child = spawn(program ?? process.execPath, rest, {
      env: { PATH: process.env["PATH"], ...env },
      cwd,
      stdio: "pipe",
    });
    // a command that does not read it may be gone before it is written
    this.#child.stdin.on("error", () => undefined).end(input);
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.#out += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#err += text));
    this.ended = this.#end();
  }

  /** Resolves when the command has written something like this to standard output. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#out)) {
      const said = await Promise.race([once(this.#child.stdout, "data"), this.ended]);
      if (!Array.isArray(said) && !pattern.test(this.#out)) assert.fail(`it ended and said ${this.#out}${this.#err}`);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Goes away, as the reader of a pipe does. */
  stopReading(): void {
    this.#child.stdout.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  async #end(): Promise<Ended> {
    const [code] = (await once(this.#child, "close")) as [number | null];
    return { code, out: this.#out, err: this.#err };
  }
}

/** Runs `fixity <args>` to its end. */
export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  await using command = new Command(args, options);
  return await command.ended;
}

/** The objects that a command has written for programs. */
export function jsonLines(out: string): readonly Readonly<Record<string, unknown>>[] {
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}
