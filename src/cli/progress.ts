/** How often the line is written anew: milliseconds. */
const INTERVAL = 100;

/** A line that tells how far the work is, on a terminal; nowhere else is anything shown. */
export class Progress implements Disposable {
  readonly #isShown: boolean = process.stderr.isTTY;
  #timer: NodeJS.Timeout | null = null;
  #text: () => string = () => "";
  #isUp = false;

  /** Shows what `text` says, from now on. */
  show(text: () => string): void {
    this.#text = text;
    if (!this.#isShown) return;
    this.#timer ??= setInterval(() => this.#write(), INTERVAL);
    this.#timer.unref();
  }

  /** Takes the line away, for other output. */
  clear(): void {
    if (!this.#isUp) return;
    process.stderr.write("\r\u001b[K");
    this.#isUp = false;
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.clear();
  }

  #write(): void {
    const width = (process.stderr.columns || 80) - 1;
    process.stderr.write(`\r\u001b[K${this.#text().slice(0, width)}`);
    this.#isUp = true;
  }
}
