import { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import type { RetryWait, WaitReason } from "../client/node.ts";
import type { Environment } from "../settings/config.ts";
import { columnsOf, fitted } from "./text.ts";

/*
 * The progress of a command on standard error, if that is a terminal: one line (`ProgressLine`), or
 * one bar per transfer (`ProgressBars`). Other output must call `clear()` first; the next drawing
 * restores the progress.
 */

/** The displays that are drawn at the moment. */
const displays = new Set<Disposable>();

/** Ends all displays, so that what follows is written on a clean line. */
export function endProgress(): void {
  for (const display of displays) display[Symbol.dispose]();
}

const REDRAW_INTERVAL_MS = 100;

const NAME_MIN_COLUMNS = 12;
const NAME_MAX_COLUMNS = 40;
const BAR_MIN_COLUMNS = 10;
const BAR_MAX_COLUMNS = 30;
const PHASE_COLUMNS = 11;

const WAIT_REASONS: Readonly<Record<WaitReason, string>> = {
  offline: "no network",
  unreachable: "server unreachable",
  busy: "server busy",
  "rate-limited": "too many requests",
  failed: "server error",
};

/** The time over which a rate is measured. */
const RATE_WINDOW_MS = 5000;
/** A rate over less time would be a guess. */
const RATE_MIN_ELAPSED_MS = 500;

/** A line that is redrawn repeatedly. */
export class ProgressLine implements Disposable {
  readonly #isShown: boolean = process.stderr.isTTY;
  #timer: NodeJS.Timeout | null = null;
  #text: (columns: number) => string = () => "";
  #isDrawn = false;

  /** From now on, shows what `text` returns for a line of so many columns. */
  show(text: (columns: number) => string): void {
    this.#text = text;
    if (!this.#isShown) return;
    displays.add(this);
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_INTERVAL_MS).unref();
  }

  /** Removes the line until the next drawing. */
  clear(): void {
    if (!this.#isDrawn) return;
    process.stderr.write("\r\u001b[K");
    this.#isDrawn = false;
  }

  [Symbol.dispose](): void {
    displays.delete(this);
    if (this.#timer !== null) clearInterval(this.#timer);
    this.clear();
  }

  #draw(): void {
    const columns = (process.stderr.columns || 80) - 1;
    process.stderr.write(`\r\u001b[K${this.#text(columns).slice(0, columns)}\r`);
    this.#isDrawn = true;
  }
}

/** The state of one transfer, as its bar shows it. */
export interface Transfer {
  /** Must not contain control characters. */
  readonly name: string;
  /** Bytes transferred so far. */
  readonly bytes: number;
  /** Bytes in total; `null` if unknown. */
  readonly total: number | null;
  /** Bytes per second; `null` if not known yet. */
  readonly rate: number | null;
  /**
   * What happens instead of a transfer, such as `hashing` or `waiting: server unreachable`; `null`
   * while bytes are transferred. Only its first word is shown if the line is too short.
   */
  readonly phase: string | null;
}

/** One bar per running transfer, on a terminal that can move its cursor. */
export class ProgressBars implements Disposable {
  readonly #isUnicode: boolean;
  readonly #transfers: () => readonly Transfer[];
  readonly #timer: NodeJS.Timeout | null;
  #drawnLines = 0;

  /** @param transfers returns the transfers to show; called for each drawing */
  constructor(env: Environment, transfers: () => readonly Transfer[]) {
    const isShown = process.stderr.isTTY && env["TERM"] !== "dumb";
    this.#isUnicode = isUnicodeTerminal(env);
    this.#transfers = transfers;
    this.#timer = isShown ? setInterval(() => this.#draw(), REDRAW_INTERVAL_MS).unref() : null;
    displays.add(this);
  }

  /** Removes the bars until the next drawing, which places them below other output. */
  clear(): void {
    if (this.#drawnLines > 0) process.stderr.write(`${this.#moveToFirstLine()}\u001b[J`);
    this.#drawnLines = 0;
  }

  [Symbol.dispose](): void {
    displays.delete(this);
    if (this.#timer !== null) clearInterval(this.#timer);
    this.clear();
  }

  #draw(): void {
    const { columns, rows } = process.stderr;
    const transfers = this.#transfers().slice(-Math.max(1, (rows || 24) - 1));
    if (transfers.length === 0) return this.clear();
    // The last column stays free: some terminals wrap a line that fills its row.
    const lines = formatBars(transfers, { columns: (columns || 80) - 1, isUnicode: this.#isUnicode });
    const text = lines.map((line) => `${line}\u001b[K`).join("\n");
    // The cursor rests at the beginning of the last line: a terminal shows Ctrl-C as ^C at the
    // cursor, and at the end of a line that would begin another one.
    process.stderr.write(`${this.#moveToFirstLine()}${text}\u001b[J\r`);
    this.#drawnLines = lines.length;
  }

  #moveToFirstLine(): string {
    return this.#drawnLines > 1 ? `\r\u001b[${this.#drawnLines - 1}A` : "\r";
  }
}

/** Whether the user's locale has characters beyond ASCII. */
export function isUnicodeTerminal(env: Environment): boolean {
  return /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
}

export interface BarStyle {
  /** The width of the terminal. */
  readonly columns: number;
  /** Whether the terminal shows characters beyond ASCII. */
  readonly isUnicode: boolean;
}

/** One line per transfer, of at most `columns` columns; more columns show more facts. */
export function formatBars(transfers: readonly Transfer[], style: BarStyle): string[] {
  const widestName = Math.max(...transfers.map(({ name }) => columnsOf(name)));
  return transfers.map((transfer) => formatBar(transfer, widestName, style));
}

function formatBar(transfer: Transfer, widestName: number, { columns, isUnicode }: BarStyle): string {
  const { facts, left } = formatFacts(transfer, columns - NAME_MIN_COLUMNS);
  const { name, bytes, total } = transfer;
  const space = NAME_MIN_COLUMNS + left;
  // Long names are shortened to make room for a bar.
  const nameLimit = Math.min(NAME_MAX_COLUMNS, left >= BAR_MIN_COLUMNS + 2 ? space - BAR_MIN_COLUMNS - 2 : space);
  const nameColumns = Math.min(nameLimit, Math.max(NAME_MIN_COLUMNS, widestName));
  const barColumns = Math.min(BAR_MAX_COLUMNS, space - nameColumns - 2);
  const share = total === null ? 0 : total === 0 ? 1 : Math.min(1, bytes / total);
  const bar = barColumns < BAR_MIN_COLUMNS ? "" : `  ${filledBar(share, barColumns, isUnicode)}`;
  return fitted(name, Math.min(columns, nameColumns)) + bar + facts;
}

/** The most important facts that fit into `columns`, and the columns that are left. */
function formatFacts({ bytes, total, rate, phase }: Transfer, columns: number): { facts: string; left: number } {
  const seconds = total === null || rate === null || rate <= 0 ? null : (total - bytes) / rate;
  const sizes = total === null ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)}`;
  const activity = phase ?? (seconds === null ? "" : `${formatDuration(seconds)} left`);
  const isLong = activity.length > PHASE_COLUMNS;
  // In the order in which they are shown. A lower rank is more important.
  const candidates = [
    { rank: 1, text: (total === null || total === 0 ? "" : `${Math.floor((bytes / total) * 100)}%`).padStart(4) },
    { rank: total === null ? 0 : 4, text: sizes.padStart(24) },
    { rank: isLong ? 5 : 2, text: (rate === null ? "" : `${formatSize(rate)}/s`).padStart(12) },
    {
      rank: 3,
      text: (isLong && activity.length + 2 > columns - 8 ? activity.replace(/:.*/, "") : activity).padStart(
        PHASE_COLUMNS,
      ),
    },
  ];
  let left = columns;
  const chosen = new Set<object>();
  for (const candidate of candidates.toSorted((one, other) => one.rank - other.rank)) {
    const needed = candidate.text.length + 2;
    if (needed > left) continue;
    left -= needed;
    chosen.add(candidate);
  }
  const texts = candidates.filter((candidate) => chosen.has(candidate)).map(({ text }) => `  ${text}`);
  return { facts: texts.join(""), left };
}

function filledBar(share: number, columns: number, isUnicode: boolean): string {
  return styleText("cyan", plainBar(share, columns, isUnicode), { stream: process.stderr });
}

/** A bar of `columns` columns, of which a share is filled. */
export function plainBar(share: number, columns: number, isUnicode: boolean): string {
  const [full, empty] = isUnicode ? ["█", "░"] : ["#", "."];
  const done = Math.floor(share * columns);
  return full.repeat(done) + empty.repeat(columns - done);
}

/** `8 s`, `12 min`, `3 h`, `2 days`. */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.min(999, Math.round(seconds / 86_400))} days`;
}

/** What a waiting transfer waits for: `waiting: server unreachable, next attempt in 8 s`. */
export function waitingText({ reason, until }: RetryWait): string {
  const seconds = until === null ? null : Math.max(0, Math.ceil((until - Date.now()) / 1000));
  return `waiting: ${WAIT_REASONS[reason]}${seconds === null ? "" : `, next attempt in ${formatDuration(seconds)}`}`;
}

/** Measures how fast a number of bytes grows. */
export class RateMeter {
  readonly #samples: { readonly time: number; readonly bytes: number }[] = [];

  /**
   * Records the current number of bytes.
   *
   * @returns bytes per second over the last seconds; `null` as long as too little time has passed
   */
  sample(bytes: number, time: number = performance.now()): number | null {
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && time - (this.#samples[1]?.time ?? time) >= RATE_WINDOW_MS) this.#samples.shift();
    const [first] = this.#samples;
    if (first === undefined || time - first.time < RATE_MIN_ELAPSED_MS) return null;
    return Math.max(0, ((bytes - first.bytes) * 1000) / (time - first.time));
  }
}
