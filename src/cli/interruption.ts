import { EXIT, SIGNAL_EXITS } from "./exit-codes.ts";
import { onOutputFailure, outputExitCode } from "./output.ts";

/**
 * Asks work to stop at the first signal to the process, and ends it at the second. Output that can no longer be written asks
 * for it too: a command that died of that would leave behind what it has made.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #interrupt = () => this.#takeSignal("SIGINT");
  readonly #terminate = () => this.#takeSignal("SIGTERM");
  readonly #forgetOutput: () => void;
  #exitCode: number | null = null;

  constructor() {
    process.on("SIGINT", this.#interrupt);
    process.on("SIGTERM", this.#terminate);
    this.#forgetOutput = onOutputFailure(() => this.#stop(outputExitCode() ?? EXIT.failed));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Of a process that was asked to stop; `null` where it was not. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    this.#forgetOutput();
    process.off("SIGINT", this.#interrupt);
    process.off("SIGTERM", this.#terminate);
  }

  #takeSignal(name: keyof typeof SIGNAL_EXITS): void {
    if (this.#exitCode !== null) process.exit(this.#exitCode);
    process.stderr.write("\nfixity: stopping; once more ends at once\n");
    this.#stop(SIGNAL_EXITS[name]);
  }

  #stop(exitCode: number): void {
    this.#exitCode ??= exitCode;
    this.#controller.abort();
  }
}
