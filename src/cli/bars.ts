import { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import { columnsOf, fitted } from "./columns.ts";

/** How often the bars are drawn anew: milliseconds. */
const INTERVAL = 100;

/** Columns for a name that must be left before anything else is shown. */
const LEAST_NAME = 12;
const MOST_NAME = 40;
const LEAST_BAR = 10;
const MOST_BAR = 30;

/** What one bar shows. */
export interface Transfer {
  /** Without control characters. */
  readonly name: string;
  /** Bytes that have gone over. */
  readonly bytes: number;
  /** Bytes in all; `null` where nobody knows. */
  readonly total: number | null;
  /** Bytes per second; `null` where it is not known yet. */
  readonly rate: number | null;
  /** What is done at present where that is not moving bytes: `hashing`, say. */
  readonly doing: string | null;
}

/** How bars are drawn. */
export interface BarStyle {
  /** Columns of the terminal. */
  readonly columns: number;
  /** Letters other than ASCII can be shown. */
  readonly isUnicode: boolean;
}

/** A bar a running transfer, and below them all, on a terminal's standard error; nowhere else is anything shown. */
export class Bars implements Disposable {
  /** Whether there is a terminal that can move its cursor. */
  readonly isShown: boolean;
  readonly #isUnicode: boolean;
  readonly #lines: () => readonly Transfer[];
  readonly #timer: NodeJS.Timeout | null;
  /** Lines that are on the terminal now. */
  #up = 0;

  /** @param lines what to show, asked for again and again */
  constructor(env: Readonly<Record<string, string | undefined>>, lines: () => readonly Transfer[]) {
    this.isShown = process.stderr.isTTY && env["TERM"] !== "dumb";
    this.#isUnicode = /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
    this.#lines = lines;
    this.#timer = this.isShown ? setInterval(() => this.#draw(), INTERVAL).unref() : null;
  }

  /** Takes the bars away, for other output; the next drawing brings them back below it. */
  clear(): void {
    if (this.#up > 0) process.stderr.write(`${this.#home()}\u001b[J`);
    this.#up = 0;
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.clear();
  }

  #draw(): void {
    const { columns, rows } = process.stderr;
    // one line is left free, and the last column: a line that fills its row breaks on some terminals
    const style = { columns: (columns || 80) - 1, isUnicode: this.#isUnicode };
    const transfers = this.#lines().slice(-Math.max(1, (rows || 24) - 1));
    if (transfers.length === 0) return this.clear();
    const lines = barsOf(transfers, style);
    const text = lines.map((line) => `${line}\u001b[K`).join("\n");
    process.stderr.write(`${this.#home()}${text}\u001b[J`);
    this.#up = lines.length;
  }

  /** To the beginning of the first line. */
  #home(): string {
    return this.#up > 1 ? `\r\u001b[${this.#up - 1}A` : "\r";
  }
}

/** A line for each, of at most so many columns: the more there are, the more it tells. */
export function barsOf(transfers: readonly Transfer[], style: BarStyle): string[] {
  const widest = Math.max(...transfers.map(({ name }) => columnsOf(name)));
  return transfers.map((transfer) => barOf(transfer, widest, style));
}

function barOf(transfer: Transfer, widest: number, { columns, isUnicode }: BarStyle): string {
  const { facts, room } = factsOf(transfer, columns - LEAST_NAME);
  const { name, bytes, total } = transfer;
  const space = LEAST_NAME + room;
  // where there is room for a bar and names, too, long names give way
  const mostName = Math.min(MOST_NAME, room >= LEAST_BAR + 2 ? space - LEAST_BAR - 2 : space);
  const nameColumns = Math.min(mostName, Math.max(LEAST_NAME, widest));
  const barColumns = Math.min(MOST_BAR, space - nameColumns - 2);
  const share = total === null ? 0 : total === 0 ? 1 : Math.min(1, bytes / total);
  const bar = barColumns < LEAST_BAR ? "" : `  ${filled(share, barColumns, isUnicode)}`;
  return fitted(name, Math.min(columns, nameColumns)) + bar + facts;
}

/** As many facts as there is room for, and the room that is left. */
function factsOf({ bytes, total, rate, doing }: Transfer, columns: number): { facts: string; room: number } {
  const left = total === null || rate === null || rate <= 0 ? null : (total - bytes) / rate;
  const sizes = total === null ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)}`;
  // from left to right; of those that do not fit all, what is of higher rank is shown
  const facts = [
    { rank: 1, text: (total === null || total === 0 ? "" : `${Math.floor((bytes / total) * 100)}%`).padStart(4) },
    { rank: total === null ? 0 : 4, text: sizes.padStart(24) },
    { rank: 2, text: (rate === null ? "" : `${formatSize(rate)}/s`).padStart(12) },
    { rank: 3, text: (doing ?? (left === null ? "" : `${duration(left)} left`)).padStart(11) },
  ];
  let room = columns;
  const shown = new Set<object>();
  for (const fact of facts.toSorted((one, other) => one.rank - other.rank)) {
    const needed = fact.text.length + 2;
    if (needed > room) continue;
    room -= needed;
    shown.add(fact);
  }
  const texts = facts.filter((fact) => shown.has(fact)).map(({ text }) => `  ${text}`);
  return { facts: texts.join(""), room };
}

function filled(share: number, columns: number, isUnicode: boolean): string {
  const [full, empty] = isUnicode ? ["█", "░"] : ["#", "."];
  const done = Math.floor(share * columns);
  const text = full.repeat(done) + empty.repeat(columns - done);
  return styleText("cyan", text, { stream: process.stderr });
}

/** Time for people: `8 s`, `12 min`, `3 h`, `2 days`. */
function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.min(999, Math.round(seconds / 86_400))} days`;
}
