import type { styleText } from "node:util";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";

/** The fields of a log line that are shown on a terminal; `log.ts` writes them. */
export interface LogRecord {
  readonly level?: string;
  readonly time?: string;
  readonly msg?: string;
  /** The number of the worker, if there are several. */
  readonly worker?: number;
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
  readonly principal?: string;
  readonly err?: { readonly message?: string; readonly stack?: string };
}

type Style = Parameters<typeof styleText>[0];

/** Applies a style to a piece of a line: {@link styleText}, or nothing. */
export type Paint = (style: Style, text: string) => string;

const LEVEL_STYLES: Readonly<Record<string, Style>> = { debug: "gray", info: "green", warn: "yellow", error: "red" };
/** By the first digit of the status. */
const STATUS_STYLES: readonly Style[] = ["gray", "gray", "green", "cyan", "yellow", "red"];
/**
 * Enough hex digits of a digest to recognize it; the whole digest is in the JSON log and in the
 * link.
 */
const SHORT_DIGEST_LENGTH = 12;
/** The width of the time and the status, below which a stack is indented. */
const STACK_INDENT = 15;

/** A log record as a line for a terminal, followed by the indented stack of its error. */
export function prettyLine(record: LogRecord, paint: Paint): string {
  const { time = "", level = "", msg = "", worker, status, err } = record;
  const clock = paint("gray", localClock(time) + (worker === undefined ? "" : ` [${worker}]`));
  const line =
    status === undefined
      ? `${paint(LEVEL_STYLES[level] ?? "gray", level.padStart(5))} ${printable(msg)}`
      : `${paint(styleOf(status), String(status).padStart(5))} ${requestText(record)}  ${factsText(record, paint)}`;
  const stack = err === undefined ? [] : stackLines(err).map((line) => paint("gray", line));
  return [`${clock} ${line}`, ...stack, ""].join("\n");
}

function styleOf(status: number): Style {
  return STATUS_STYLES[Math.floor(status / 100)] ?? "red";
}

function requestText({ method, path = "", msg = "" }: LogRecord): string {
  return printable(method === undefined ? msg : `${method.padEnd(6)} ${shortened(path)}`);
}

function factsText(record: LogRecord, paint: Paint): string {
  const { digest, size, existed, ms, aborted, code, principal, id } = record;
  const isDigestInPath = digest !== undefined && record.path?.includes(digest.slice(-64)) === true;
  const facts = [
    size === undefined ? "" : formatSize(size),
    existed === undefined ? "" : existed ? "already stored" : "new",
    digest === undefined || isDigestInPath ? "" : shortened(digest),
    code ?? "",
    principal ?? "",
    aborted === true ? "client disconnected" : "",
    ms === undefined ? "" : `${ms} ms`,
  ].filter((fact) => fact !== "");
  return `${printable(facts.join(", "))}  ${paint("gray", printable(id ?? ""))}`;
}

function shortened(text: string): string {
  return text.replace(/[0-9a-f]{64}/, (hex) => `${hex.slice(0, SHORT_DIGEST_LENGTH)}…`);
}

function stackLines({ stack, message = "" }: NonNullable<LogRecord["err"]>): string[] {
  return (stack ?? message).split("\n").map((line) => `${" ".repeat(STACK_INDENT)}${printable(line)}`);
}

function localClock(time: string): string {
  const date = new Date(time);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
