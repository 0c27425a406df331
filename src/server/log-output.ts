import type { Writable } from "node:stream";

/** Bytes of lines that are held for a reader who is slow. What comes beyond them is dropped. */
const MAX_UNREAD = 1024 * 1024;

/** Milliseconds that the last lines are waited for. */
const PATIENCE = 500;

/**
 * Where a log is written: waits for nobody, and fails nobody. A server must not stand still because its log is not read, nor
 * end because who read it is gone.
 */
export class LogOutput {
  readonly #stream: Writable;
  readonly #onDropped: (lines: number) => void;
  #dropped = 0;

  /** @param onDropped told how many lines were dropped, as soon as the next can be written */
  constructor(stream: Writable, onDropped: (lines: number) => void) {
    this.#stream = stream;
    this.#onDropped = onDropped;
    // without a listener it would end the process; one is enough for all that write there
    stream.off("error", ignore).on("error", ignore);
  }

  write(line: string): void {
    if (this.#stream.writableLength >= MAX_UNREAD) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const lines = this.#dropped;
      this.#dropped = 0;
      this.#onDropped(lines);
    }
    this.#stream.write(line);
  }

  /** Calls back, once, when all lines have been read or their reader is gone, but soon in any case. */
  flush(done: () => void): void {
    let timer: NodeJS.Timeout | null = null;
    const out = (): void => {
      if (timer === null) return;
      clearTimeout(timer);
      timer = null;
      done();
    };
    timer = setTimeout(out, PATIENCE);
    this.#stream.write("", out);
  }
}

function ignore(): void {}
