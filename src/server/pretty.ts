import type { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";

/** What a log line may hold; see `request-log.ts` for what the fields of a request mean. */
export interface LogRecord {
  readonly level?: string;
  readonly time?: string;
  readonly msg?: string;
  readonly id?: string;
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  readonly digest?: string;
  readonly size?: number;
  readonly existed?: boolean;
  readonly ms?: number;
  readonly aborted?: boolean;
  readonly code?: string;
  readonly err?: { readonly message?: string; readonly stack?: string };
}

type Style = Parameters<typeof styleText>[0];

/** How a piece of a line is made to look: {@link styleText}, or nothing at all. */
export type Paint = (style: Style, text: string) => string;

const LEVELS: Readonly<Record<string, Style>> = { debug: "gray", info: "green", warn: "yellow", error: "red" };
const STATUSES: readonly Style[] = ["gray", "gray", "green", "cyan", "yellow", "red"];
/** Enough of a digest to know it again; the whole one is in the JSON log, and in the link. */
const SHORT_DIGEST = 12;

/** A log record as a line to be read on a terminal, followed by the indented stack of an error. */
export function prettyLine(record: LogRecord, paint: Paint): string {
  const { time = "", level = "", msg = "", status, err } = record;
  const clock = paint("gray", localClock(time));
  const line =
    status === undefined
      ? `${paint(LEVELS[level] ?? "gray", level.padStart(5))} ${printable(msg)}`
      : `${paint(styleOf(status), String(status).padStart(5))} ${request(record)}  ${facts(record, paint)}`;
  return [`${clock} ${line}`, ...(err === undefined ? [] : stack(err).map((line) => paint("gray", line))), ""].join(
    "\n",
  );
}

function styleOf(status: number): Style {
  return STATUSES[Math.floor(status / 100)] ?? "red";
}

function request({ method, path = "", msg = "" }: LogRecord): string {
  return printable(method === undefined ? msg : `${method.padEnd(6)} ${short(path)}`);
}

function facts(record: LogRecord, paint: Paint): string {
  const { digest, size, existed, ms, aborted, code, id } = record;
  const told = [
    size === undefined ? "" : formatSize(size),
    existed === undefined ? "" : existed ? "was there" : "new",
    digest === undefined || record.path?.includes(digest.slice(-64)) === true ? "" : short(digest),
    code ?? "",
    aborted === true ? "the client left" : "",
    ms === undefined ? "" : `${ms} ms`,
  ].filter((fact) => fact !== "");
  return `${printable(told.join(", "))}  ${paint("gray", printable(id ?? ""))}`;
}

function short(text: string): string {
  return text.replace(/[0-9a-f]{64}/, (hex) => `${hex.slice(0, SHORT_DIGEST)}…`);
}

function stack({ stack, message = "" }: NonNullable<LogRecord["err"]>): string[] {
  return (stack ?? message).split("\n").map((line) => `${" ".repeat(15)}${printable(line)}`);
}

function localClock(time: string): string {
  const date = new Date(time);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
