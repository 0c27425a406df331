import { styleText } from "node:util";
import { type Logger, pino } from "pino";
import type { Config } from "./config.ts";
import { type LogRecord, type Paint, prettyLine } from "./pretty.ts";

/**
 * The server's log: one JSON object a line for programs, or a readable line on a terminal. What comes from outside is logged
 * as a JSON string or percent-encoded, so that no text breaks a line or moves the cursor.
 */
export function createLog({ logLevel, logFormat }: Pick<Config, "logLevel" | "logFormat">): Logger {
  const options = {
    level: logLevel,
    base: null,
    formatters: { level: (level: string) => ({ level }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  const pretty = logFormat === "pretty" || (logFormat === "auto" && process.stdout.isTTY);
  return pino(options, { write: pretty ? writePretty : write });
}

/** Bytes of lines that are held for a reader who is slow. What comes beyond them is dropped. */
const MAX_UNREAD = 4 * 1024 * 1024;

/** Writes to standard output and waits for nobody: a server must not stand still because its log is not read. */
function write(text: string): void {
  if (process.stdout.writableLength < MAX_UNREAD) process.stdout.write(text);
}

/** A request target for a log: without its query, which may hold names, and with everything unusual percent-encoded. */
export function loggedPath(target: string): string {
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return shown.replace(/[^\x21-\x7e…]/g, (character) => encodeURIComponent(character.toWellFormed()));
}

function writePretty(line: string): void {
  write(prettyLine(JSON.parse(line) as LogRecord, paint));
}

/** In colours where the terminal has some and the user wants them (`NO_COLOR`). */
function paint(style: Parameters<Paint>[0], text: string): string {
  return styleText(style, text, { stream: process.stdout });
}
