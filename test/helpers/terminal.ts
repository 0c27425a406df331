import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { CHILD_ENV } from "./child-env.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Options of a terminal. */
export interface TerminalOptions {
  /** The environment of the command, in addition to the test's `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
}

/** `fixity <args>` on a pseudo-terminal, which `script` (util-linux) creates. Disposing kills it. */
export class Terminal implements AsyncDisposable {
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #shown = "";

  constructor(args: readonly string[], { env = {}, columns = 80 }: TerminalOptions = {}) {
    const command = [process.execPath, MAIN, ...args].map(quoted).join(" ");
    const script = `stty cols ${columns} rows 24; exec ${command}`;
    this.#child = spawn("script", ["--quiet", "--return", "--flush", "--command", script, "/dev/null"], {
      env: { ...CHILD_ENV, SHELL: "/bin/sh", TERM: "xterm", LANG: "C.UTF-8", ...env },
      cwd: tmpdir(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.#shown += text));
    this.ended = this.#end();
  }

  /** Everything written to the terminal, control sequences included. */
  get raw(): string {
    return this.#shown;
  }

  /** Everything written to the terminal, without control sequences. */
  get text(): string {
    return stripVTControlCharacters(this.#shown).replaceAll("\r", "");
  }

  /** Resolves when the output of the terminal matches. Rejects if the command ends before. */
  async shows(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) {
      const event = await Promise.race([once(this.#child.stdout, "data"), this.ended]);
      if (!Array.isArray(event) && !pattern.test(this.text)) throw new Error(`it ended and showed ${this.text}`);
    }
  }

  /** Presses keys: `\x03` is Ctrl-C. */
  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  async #end(): Promise<number | null> {
    const [code] = (await once(this.#child, "close")) as [number | null];
    return code;
  }
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}
