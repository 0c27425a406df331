import { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";
import type { UploadResult } from "../client/node.ts";
import type { Environment } from "../settings/config.ts";
import { print, printJson, printProblem } from "./output.ts";
import { ProgressBars, type Transfer } from "./progress.ts";

/** The result for one file. */
export type PutOutcome =
  | { readonly status: "stored"; readonly file: string; readonly result: UploadResult }
  | { readonly status: "failed"; readonly file: string; readonly code: string; readonly reason: string }
  | { readonly status: "skipped"; readonly file: string; readonly reason: string }
  /** Interrupted together with the whole run, or not started. */
  | { readonly status: "stopped"; readonly file: string };

export interface PutReportOptions {
  readonly isQuiet: boolean;
  readonly isJson: boolean;
  readonly env: Environment;
  /** Returns the transfers to show as bars; called for each drawing. */
  readonly transfers: () => readonly Transfer[];
}

/** Reports a run of `fixity put`: links on standard output, everything else on standard error. */
export class PutReport implements Disposable {
  readonly #isQuiet: boolean;
  readonly #isJson: boolean;
  readonly #bars: ProgressBars;
  readonly #counts = { stored: 0, existed: 0, failed: 0, skipped: 0, stopped: 0 };
  #sentBytes = 0;

  constructor({ isQuiet, isJson, env, transfers }: PutReportOptions) {
    this.#isQuiet = isQuiet;
    this.#isJson = isJson;
    this.#bars = new ProgressBars(env, isQuiet ? () => [] : transfers);
  }

  /** The number of files that failed. */
  get failed(): number {
    return this.#counts.failed;
  }

  /** Adds a result; to be called in the order of the arguments. */
  add(outcome: PutOutcome): void {
    this.#count(outcome);
    this.#bars.clear();
    if (this.#isJson) printOutcomeJson(outcome);
    else this.#printOutcome(outcome);
  }

  /** Reports a failure that affects all files. */
  addGeneralFailure(reason: string): void {
    this.#bars.clear();
    printProblem(reason);
  }

  /** Removes the bars and prints a summary, if it says more than the lines before it. */
  summarize(total: number): void {
    this.#bars[Symbol.dispose]();
    const { stored, existed, failed, skipped } = this.#counts;
    const notSent = total - stored - existed - failed - skipped;
    if (this.#isJson || (this.#isQuiet && notSent === 0) || (total === 1 && notSent === 0)) return;
    const facts = [
      `Stored ${stored.toLocaleString("en")}`,
      existed === 0 ? "" : `already stored ${existed.toLocaleString("en")}`,
      failed === 0 ? "" : styleText("red", `failed ${failed.toLocaleString("en")}`, { stream: process.stderr }),
      skipped === 0 ? "" : `skipped ${skipped.toLocaleString("en")}`,
      notSent === 0 ? "" : `not sent ${notSent.toLocaleString("en")}`,
    ].filter((fact) => fact !== "");
    const advice = notSent === 0 ? "" : " Run the same command again to resume.";
    process.stderr.write(`${facts.join(", ")}; ${formatSize(this.#sentBytes)} sent.${advice}\n`);
  }

  [Symbol.dispose](): void {
    this.#bars[Symbol.dispose]();
  }

  #count(outcome: PutOutcome): void {
    const isStored = outcome.status === "stored";
    this.#counts[isStored && outcome.result.existed ? "existed" : outcome.status] += 1;
    if (isStored) this.#sentBytes += outcome.result.sent;
  }

  #printOutcome(outcome: PutOutcome): void {
    const { status, file } = outcome;
    switch (status) {
      case "stored": {
        const { url, size, existed, sent } = outcome.result;
        const how = !existed ? "stored" : sent === 0 ? "already stored, nothing sent" : "already stored";
        if (!this.#isQuiet) process.stderr.write(`${printable(file)}: ${how}, ${formatSize(size)}\n`);
        return print(`${url}\n`);
      }
      case "failed":
        return printProblem(`${file}: ${outcome.reason}`);
      case "skipped":
        if (!this.#isQuiet) printProblem(`${file}: ${outcome.reason} (skipped)`);
        return;
      case "stopped":
    }
  }
}

function printOutcomeJson(outcome: PutOutcome): void {
  if (outcome.status === "stopped") return;
  if (outcome.status !== "stored") return printJson(outcome);
  const { url, digest, size, type, name, integrity, existed, sent } = outcome.result;
  const status = existed ? "existed" : "stored";
  printJson({ status, file: outcome.file, url, digest, size, type, name, integrity, sent });
}
