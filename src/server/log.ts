import util from "node:util";
import { type Logger, pino } from "pino";
import type { Config } from "../settings/config.ts";
import { LogOutput } from "./log-output.ts";
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
  const output = new LogOutput(process.stdout, (lines) =>
    log.warn({ lines }, `nobody read this log: ${lines} lines are missing here`),
  );
  const destination = {
    write: (line: string): void => output.write(pretty ? prettyLine(JSON.parse(line) as LogRecord, paint) : line),
    flush: (done: () => void): void => output.flush(done),
  };
  const log = pino(options, destination);
  return log;
}

/** A request target for a log: without its query, which may hold names, and with everything unusual percent-encoded. */
export function loggedPath(target: string): string {
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return shown.replace(/[^\x21-\x7e…]/g, (character) => encodeURIComponent(character.toWellFormed()));
}

/** In colours where the terminal has some and the user wants them (`NO_COLOR`). */
function paint(style: Parameters<Paint>[0], text: string): string {
  return util.styleText(style, text, { stream: process.stdout });
}
