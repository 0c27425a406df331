import { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";
import type { UploadResult } from "../client/node.ts";
import type { Environment } from "../settings/config.ts";
import { print, printJson, printProblem } from "./output.ts";
import { formatDuration, ProgressBars, type Transfer } from "./progress.ts";

/** The result for one file. */
export type PutOutcome =
  | { readonly status: "stored"; readonly file: string; readonly result: UploadResult }
  | { readonly status: "failed"; readonly file: string; readonly code: string; readonly reason: string }
  | { readonly status: "skipped"; readonly file: string; readonly reason: string }
  /** Interrupted together with the whole run, or not started. */
  | { readonly status: "stopped"; readonly file: string; readonly progress: StoppedAt | null };

/** How far an interrupted upload came. */
export interface StoppedAt {
  /** Bytes sent in this run and in earlier ones. */
  readonly bytes: number;
  /** Bytes of the file; `null` for a stream. */
  readonly total: number | null;
  /** Until when a later run can resume it, in milliseconds since 1970; `null` if none can. */
  readonly expires: number | null;
}

export interface PutReportOptions {
  readonly isQuiet: boolean;
  readonly isJson: boolean;
  readonly env: Environment;
  /** Returns the transfers to show as bars; called for each drawing. */
  readonly transfers: () => readonly Transfer[];
}

/** The end of a run. */
export interface PutSummary {
  /** The number of files that were found. */
  readonly files: number;
  /** Bytes that were sent, also those of files that were not stored. */
  readonly sentBytes: number;
}

/**
 * Reports a run of `fixity put`: links on standard output, everything else on standard error. On a
 * terminal each result appears at once. Elsewhere the results have the order of the arguments, so
 * that the lines in a file of links correspond to the names.
 */
export class PutReport implements Disposable {
  readonly #isQuiet: boolean;
  readonly #isJson: boolean;
  readonly #areResultsOrdered: boolean = !process.stdout.isTTY;
  readonly #areMessagesOrdered: boolean = !process.stderr.isTTY;
  readonly #bars: ProgressBars;
  readonly #counts = { stored: 0, existed: 0, failed: 0, skipped: 0, stopped: 0 };
  /** Files whose upload has begun and was interrupted. */
  readonly #interrupted: { readonly file: string; readonly progress: StoppedAt }[] = [];

  constructor({ isQuiet, isJson, env, transfers }: PutReportOptions) {
    this.#isQuiet = isQuiet;
    this.#isJson = isJson;
    this.#bars = new ProgressBars(env, isQuiet ? () => [] : transfers);
  }

  /** The number of files that failed. */
  get failed(): number {
    return this.#counts.failed;
  }

  /** Adds a result as soon as it is known. */
  addNow(outcome: PutOutcome): void {
    this.#count(outcome);
    this.#bars.clear();
    if (!this.#areMessagesOrdered) this.#printMessage(outcome);
    if (!this.#areResultsOrdered) this.#printResult(outcome);
  }

  /** Adds the same result again when those of all files before it were added. */
  addInOrder(outcome: PutOutcome): void {
    this.#bars.clear();
    if (this.#areMessagesOrdered) this.#printMessage(outcome);
    if (this.#areResultsOrdered) this.#printResult(outcome);
  }

  /** Reports a failure that affects all files. */
  addGeneralFailure(reason: string): void {
    this.#bars.clear();
    printProblem(reason);
  }

  /**
   * Removes the bars, reports how far interrupted files came, and prints a summary if it says more
   * than the lines before it.
   */
  summarize({ files, sentBytes }: PutSummary): void {
    this.#bars[Symbol.dispose]();
    const { stored, existed, failed, skipped } = this.#counts;
    const notSent = files - stored - existed - failed - skipped;
    if (this.#isJson || (this.#isQuiet && notSent === 0) || (files === 1 && notSent === 0)) return;
    for (const { file, progress } of this.#interrupted) {
      process.stderr.write(`${printable(file)}: ${interruptionText(progress)}\n`);
    }
    const facts = [
      `Stored ${stored.toLocaleString("en")}`,
      existed === 0 ? "" : `already stored ${existed.toLocaleString("en")}`,
      failed === 0 ? "" : styleText("red", `failed ${failed.toLocaleString("en")}`, { stream: process.stderr }),
      skipped === 0 ? "" : `skipped ${skipped.toLocaleString("en")}`,
      notSent === 0 ? "" : `not sent ${notSent.toLocaleString("en")}`,
    ].filter((fact) => fact !== "");
    // After a wrong address or token, the same command would fail again.
    const canContinue = notSent > 0 && (sentBytes > 0 || stored + existed > 0);
    const advice = canContinue ? " Run the same command again to continue." : "";
    process.stderr.write(`${facts.join(", ")}; ${formatSize(sentBytes)} sent.${advice}\n`);
  }

  [Symbol.dispose](): void {
    this.#bars[Symbol.dispose]();
  }

  #count(outcome: PutOutcome): void {
    const isStored = outcome.status === "stored";
    this.#counts[isStored && outcome.result.existed ? "existed" : outcome.status] += 1;
    if (outcome.status !== "stopped" || outcome.progress === null) return;
    this.#interrupted.push({ file: outcome.file, progress: outcome.progress });
  }

  /** Prints what a user reads beside the links. */
  #printMessage(outcome: PutOutcome): void {
    if (this.#isJson) return;
    const { status, file } = outcome;
    if (status === "failed") printProblem(`${file}: ${outcome.reason}`);
    if (this.#isQuiet) return;
    if (status === "skipped") printProblem(`${file}: ${outcome.reason} (skipped)`);
    if (status !== "stored") return;
    const { size, existed, sent } = outcome.result;
    const how = !existed ? "stored" : sent === 0 ? "already stored, nothing sent" : "already stored";
    process.stderr.write(`${printable(file)}: ${how}, ${formatSize(size)}\n`);
  }

  #printResult(outcome: PutOutcome): void {
    if (this.#isJson) printOutcomeJson(outcome);
    else if (outcome.status === "stored") print(`${outcome.result.url}\n`);
  }
}

function interruptionText({ bytes, total, expires }: StoppedAt): string {
  const sent = total === null || total === 0 ? formatSize(bytes) : `${Math.floor((bytes / total) * 100)}%`;
  if (expires === null) return `${sent} sent, and cannot be resumed`;
  const left = formatDuration(Math.max(0, expires - Date.now()) / 1000);
  return `${sent} sent; run the same command again within ${left} to resume`;
}

function printOutcomeJson(outcome: PutOutcome): void {
  if (outcome.status === "stopped") return;
  if (outcome.status !== "stored") return printJson(outcome);
  const { url, digest, size, type, name, integrity, existed, sent } = outcome.result;
  const status = existed ? "existed" : "stored";
  printJson({ status, file: outcome.file, url, digest, size, type, name, integrity, sent });
}
