import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { CHILD_ENV } from "./child-env.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The output of a command and its exit code, which for a signal is that of shells: 128 plus its number. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Options of a command. */
export interface CommandOptions {
  /** The environment of the command, in addition to the test's `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that starts it, and must replace itself by the command in its last arguments. */
  readonly under?: readonly string[];
  readonly cwd?: string;
  /** Standard input. @default empty */
  readonly input?: string | Uint8Array;
}

/** A process that runs `fixity <args>`. Disposing kills it if it is still running. */
export class Command implements AsyncDisposable {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcessWithoutNullStreams;
  #out = "";
  #err = "";

  constructor(args: readonly string[], { env = {}, under = [], cwd = tmpdir(), input = "" }: CommandOptions = {}) {
    const [program, ...rest] = [...under, process.execPath, MAIN, ...args];
    this.#child = spawn(program ?? process.execPath, rest, {
      env: { ...CHILD_ENV, ...env },
      cwd,
      stdio: "pipe",
    });
    // a command that does not read it may exit before it is written
    this.#child.stdin.on("error", () => undefined).end(input);
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.#out += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#err += text));
    this.ended = this.#end();
  }

  /** Resolves when the standard output of the command matches. */
  async prints(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#out)) {
      const said = await Promise.race([once(this.#child.stdout, "data"), this.ended]);
      if (!Array.isArray(said) && !pattern.test(this.#out)) assert.fail(`it ended and said ${this.#out}${this.#err}`);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Closes the pipe from standard output, as a reader that exits does. */
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

/** Runs `fixity <args>` and waits for its end. */
export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  await using command = new Command(args, options);
  return await command.ended;
}

/** The JSON objects that a command has printed, one per line. */
export function jsonLines(out: string): readonly Readonly<Record<string, unknown>>[] {
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}
