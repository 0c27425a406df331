import { styleText } from "node:util";
import { printable } from "../base/printable.ts";
import { formatSize } from "../base/format-size.ts";
import type { UploadResult } from "../client/node.ts";
import { Bars, type Transfer } from "./bars.ts";
import type { Environment } from "../settings/config.ts";
import { counted, printJson } from "./text.ts";
import { print } from "./output.ts";

/** What has become of one thing to send. */
export type PutOutcome =
  | { readonly status: "stored"; readonly file: string; readonly result: UploadResult }
  | { readonly status: "failed"; readonly file: string; readonly code: string; readonly reason: string }
  | { readonly status: "skipped"; readonly file: string; readonly reason: string }
  /** Ended together with the whole run, or not begun. */
  | { readonly status: "stopped"; readonly file: string };

/** How outcomes are told. */
export interface ReportStyle {
  readonly isQuiet: boolean;
  readonly isJson: boolean;
  readonly env: Environment;
}

/** Tells how a run of `fixity put` goes: links on standard output, everything else on standard error. */
export class PutReport implements Disposable {
  readonly #style: ReportStyle;
  readonly #bars: Bars;
  readonly #counts = { stored: 0, existed: 0, failed: 0, skipped: 0, stopped: 0 };
  #sent = 0;

  /** @param running what to show bars of, asked for again and again */
  constructor(style: ReportStyle, running: () => readonly Transfer[]) {
    this.#style = style;
    this.#bars = new Bars(style.env, style.isQuiet ? () => [] : running);
  }

  get failed(): number {
    return this.#counts.failed;
  }

  /** To be called in the order of the arguments. */
  tell(outcome: PutOutcome): void {
    this.#count(outcome);
    this.#bars.clear();
    if (this.#style.isJson) tellProgram(outcome);
    else this.#tellPerson(outcome);
  }

  /** Tells of what keeps all files from being sent. */
  warn(reason: string): void {
    this.#bars.clear();
    process.stderr.write(`fixity: ${printable(reason)}\n`);
  }

  /** Takes the bars away and, where that says more than the lines before it, sums up. */
  sumUp(total: number): void {
    this.#bars[Symbol.dispose]();
    const { stored, existed, failed, skipped } = this.#counts;
    const open = total - stored - existed - failed - skipped;
    if (this.#style.isJson || (this.#style.isQuiet && open === 0) || (total === 1 && open === 0)) return;
    const facts = [
      `${counted(stored, "file")} stored`,
      existed === 0 ? "" : `${existed.toLocaleString("en")} stored already`,
      failed === 0 ? "" : styleText("red", `${failed.toLocaleString("en")} failed`, { stream: process.stderr }),
      skipped === 0 ? "" : `${skipped.toLocaleString("en")} skipped`,
      open === 0 ? "" : `${open.toLocaleString("en")} not sent: the same command again goes on with them`,
    ].filter((fact) => fact !== "");
    process.stderr.write(`${facts.join(", ")}; ${formatSize(this.#sent)} sent\n`);
  }

  [Symbol.dispose](): void {
    this.#bars[Symbol.dispose]();
  }

  #count(outcome: PutOutcome): void {
    const isStored = outcome.status === "stored";
    this.#counts[isStored && outcome.result.existed ? "existed" : outcome.status] += 1;
    if (isStored) this.#sent += outcome.result.sent;
  }

  #tellPerson(outcome: PutOutcome): void {
    const { status, file } = outcome;
    if (status === "stopped") return;
    if (status !== "stored") return this.#complain(`fixity: ${printable(`${file}: ${outcome.reason}`)}`, status);
    const { url, size, existed, sent } = outcome.result;
    const how = !existed ? "stored" : sent === 0 ? "stored already, nothing sent" : "stored already";
    if (!this.#style.isQuiet) process.stderr.write(`${printable(file)}: ${how}, ${formatSize(size)}\n`);
    print(`${url}\n`);
  }

  #complain(line: string, status: "failed" | "skipped"): void {
    if (status === "skipped" && this.#style.isQuiet) return;
    process.stderr.write(`${line}${status === "skipped" ? " (skipped)" : ""}\n`);
  }
}

function tellProgram(outcome: PutOutcome): void {
  if (outcome.status === "stopped") return;
  if (outcome.status !== "stored") return printJson(outcome);
  const { url, digest, size, type, name, integrity, existed, sent } = outcome.result;
  const status = existed ? "existed" : "stored";
  printJson({ status, file: outcome.file, url, digest, size, type, name, integrity, sent });
}
