import { EXIT, SIGNAL_EXITS } from "./exit-codes.ts";
import { onOutputFailure, outputExitCode } from "./output.ts";
import { endProgress } from "./progress.ts";

/**
 * Stops the work of a command at the first signal to the process, and exits at the second. A failure
 * to write output counts as a signal: a command that died of it would leave unfinished work behind.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onInterrupt = () => this.#onSignal("SIGINT");
  readonly #onTerminate = () => this.#onSignal("SIGTERM");
  readonly #endOutputListener: () => void;
  #exitCode: number | null = null;

  constructor() {
    process.on("SIGINT", this.#onInterrupt);
    process.on("SIGTERM", this.#onTerminate);
    this.#endOutputListener = onOutputFailure(() => this.#stop(outputExitCode() ?? EXIT.failed));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code of an interrupted process; `null` if it was not interrupted. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    this.#endOutputListener();
    process.off("SIGINT", this.#onInterrupt);
    process.off("SIGTERM", this.#onTerminate);
  }

  #onSignal(name: keyof typeof SIGNAL_EXITS): void {
    if (this.#exitCode !== null) process.exit(this.#exitCode);
    endProgress();
    process.stderr.write("fixity: stopping; a second signal exits at once\n");
    this.#stop(SIGNAL_EXITS[name]);
  }

  #stop(exitCode: number): void {
    this.#exitCode ??= exitCode;
    this.#controller.abort();
  }
}
