import { pino, type Logger } from "pino";
import type { Config } from "./config.ts";

/**
 * The server's log: one JSON object a line for programs, or a readable line on a terminal. What comes from outside is logged
 * as a JSON string or percent-encoded, so that no text breaks a line or moves the cursor.
 */
export async function createLog(config: Pick<Config, "logLevel" | "logFormat">): Promise<Logger> {
  const { logLevel: level, logFormat } = config;
  const pretty = logFormat === "pretty" || (logFormat === "auto" && process.stdout.isTTY);
  const options = {
    level,
    base: null,
    formatters: { level: (level: string) => ({ level }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  if (!pretty) return pino(options);
  const { PinoPretty } = await import("pino-pretty");
  return pino(
    options,
    PinoPretty({ singleLine: true, translateTime: "SYS:HH:MM:ss", colorize: process.stdout.isTTY, sync: true }),
  );
}

/** A request target for a log: without its query, which may hold names, and with everything unusual percent-encoded. */
export function loggedPath(target: string): string {
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return shown.replace(/[^\x21-\x7e…]/g, (character) => encodeURIComponent(character.toWellFormed()));
}
