import type { Writable } from "node:stream";
import util from "node:util";
import { type Logger, pino } from "pino";
import { redacted } from "../base/redact.ts";
import type { Answer, Exchange } from "../http/exchange.ts";
import { parseTraceParent } from "../http/fields/traceparent.ts";
import type { Report } from "../http/options.ts";
import type { Config } from "../settings/config.ts";
import { type LogRecord, type Paint, prettyLine } from "./pretty-line.ts";

/** Unwritten bytes that are kept for a slow reader of the log. Lines beyond that are dropped. */
const UNREAD_MAX_BYTES = 1024 * 1024;

/**
 * Lines that wait are written together up to this size, which a pipe accepts as a whole or not at
 * all (`PIPE_BUF` of Linux, pipe(7)): several processes that write to one log do not mix their
 * lines. A longer line is written alone.
 */
const WRITE_MAX_BYTES = 4096;

/** How long `flush` waits for a slow reader. */
const FLUSH_TIMEOUT_MS = 500;

/** Longer paths are cut in the log. */
const PATH_MAX_LENGTH = 200;

/** How the line of an answered request ends, whatever it contains. */
const ANSWERED_END = '"msg":"answered"}\n';

/**
 * The server's log: one JSON object per line for programs, or a readable line on a terminal. Text
 * from outside is logged as a JSON string or percent-encoded, so that it can neither break a line
 * nor move the cursor.
 *
 * @param worker the number of the worker that writes the lines, which becomes a field of each
 */
export function createLog({ logLevel, logFormat }: Pick<Config, "logLevel" | "logFormat">, worker?: number): Logger {
  const options = {
    level: logLevel,
    base: worker === undefined ? null : { worker },
    formatters: { level: (level: string) => ({ level }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  const isPretty = logFormat === "pretty" || (logFormat === "auto" && process.stdout.isTTY);
  const output = new LogOutput(process.stdout, (lines) =>
    log.warn({ lines }, `${lines} lines were dropped here because this log was not read`),
  );
  const destination = {
    write: (line: string): void => {
      // Errors of a store name files and objects, and thus uploads. The lines of requests are the
      // most, and contain no text from elsewhere but the path, which is redacted.
      const safe = line.endsWith(ANSWERED_END) ? line : redactedLine(line);
      output.write(isPretty ? prettyLine(JSON.parse(safe) as LogRecord, paint) : safe);
    },
    flush: (done: () => void): void => output.flush(done),
  };
  const log = pino(options, destination);
  return log;
}

/**
 * A line without the secrets that the text of an error may contain. The id of a trace is as long as
 * that of an upload; it stays, because it leads to the cause of the failure.
 */
function redactedLine(line: string): string {
  // Texts within the line have their quotes escaped, so only the field itself matches.
  const field = /"traceId":"[\da-f]{32}"/.exec(line)?.[0];
  return field === undefined ? redacted(line) : redacted(line).replace(/"traceId":"[\da-f]{8}…"/, field);
}

/** In colors if the terminal supports them and the user wants them (`NO_COLOR`). */
function paint(style: Parameters<Paint>[0], text: string): string {
  return util.styleText(style, text, { stream: process.stdout });
}

/** The end of a request that was answered. */
export interface AnsweredRequest {
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly durationMs: number;
  /** The failure that the answer reports. */
  readonly error: Error | undefined;
  /** The request's field of that name. */
  readonly traceparent?: string | undefined;
  /** Further fields of the log line. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/**
 * Writes the line of one request: internal errors as errors with their cause, everything else at
 * `level`.
 */
export function logRequest(log: Logger, request: AnsweredRequest, level: "info" | "debug" = "info"): void {
  const { id, method, target, status, durationMs, error, facts } = request;
  const entry = {
    id,
    method,
    path: loggedPath(target),
    status,
    ms: Math.round(durationMs * 10) / 10,
    ...facts,
    ...parseTraceParent(request.traceparent),
    ...(error !== undefined && "code" in error && { code: error.code }),
  };
  if (status >= 500 && !isExpected(error)) log.error({ ...entry, err: error?.cause ?? error }, "failed");
  else log[level](entry, "answered");
}

/** The `onAnswer` hook of the service, which logs every exchange. */
export function logExchanges(log: Logger): (exchange: Exchange, answer: Answer, report: Report) => void {
  return ({ id, method, target, fields }, { status, note }, { durationMs, bytesReceived, bytesSent, aborted }) => {
    const { error, ...facts } = note ?? {};
    const more = {
      ...facts,
      ...(bytesReceived > 0 && { received: bytesReceived }),
      ...(bytesSent > 0 && { sent: bytesSent }),
      ...(aborted && { aborted }),
    };
    const traceparent = fields.get("traceparent");
    logRequest(log, { id, method, target, status, durationMs, error, traceparent, facts: more });
  };
}

/**
 * Whether a failure with a status of 500 or above is not a fault of the server, so that its code
 * suffices in the log.
 */
function isExpected(error: Error | undefined): boolean {
  if (error === undefined || !("code" in error)) return false;
  // A shutdown is not an error, unless something could not be saved.
  if (error.code === "shutting-down") return error.cause === undefined;
  return error.code === "unsupported-transfer-coding" || error.code === "too-many-uploads";
}

/**
 * A request target for the log: without its query, which may contain names and signatures, with
 * only the first 8 digits of an upload's id, and percent-encoded except for visible ASCII.
 */
export function loggedPath(target: string): string {
  const mark = target.indexOf("?");
  const path = redacted(mark === -1 ? target : target.slice(0, mark));
  const shown = path.length > PATH_MAX_LENGTH ? `${path.slice(0, PATH_MAX_LENGTH)}…` : path;
  return shown.replace(/[^\x21-\x7e…]/g, (character) => encodeURIComponent(character.toWellFormed()));
}

/**
 * The output of a log. Writing neither waits nor fails: a full or closed pipe must not stop the
 * server.
 */
export class LogOutput {
  readonly #stream: Writable;
  readonly #onDropped: (lines: number) => void;
  /** Lines that wait until the stream has written what it has. */
  readonly #waiting: string[] = [];
  #waitingLength = 0;
  #dropped = 0;
  #onWritten: (() => void) | null = null;
  readonly #continue = (): void => this.#writeWaiting();

  /**
   * @param onDropped receives the number of dropped lines as soon as the next line can be written
   */
  constructor(stream: Writable, onDropped: (lines: number) => void) {
    this.#stream = stream;
    this.#onDropped = onDropped;
    // Without a listener an error would end the process. All outputs of a stream share one
    // listener.
    stream.off("error", ignoreError).on("error", ignoreError);
  }

  write(line: string): void {
    if (this.#stream.writableLength + this.#waitingLength >= UNREAD_MAX_BYTES) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const lines = this.#dropped;
      this.#dropped = 0;
      this.#onDropped(lines);
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#writeWaiting();
  }

  /**
   * Calls `done` once, when all lines have been read, their reader is gone, or a short time has
   * passed.
   */
  flush(done: () => void): void {
    let timer: NodeJS.Timeout | null = null;
    const finish = (): void => {
      if (timer === null) return;
      clearTimeout(timer);
      timer = null;
      done();
    };
    timer = setTimeout(finish, FLUSH_TIMEOUT_MS);
    this.#onWritten = () => this.#stream.write("", finish);
    this.#writeWaiting();
  }

  /** Writes what the stream accepts at once; goes on when it has written that. */
  #writeWaiting(): void {
    while (this.#waiting.length > 0 && this.#stream.writableLength === 0) {
      let text = this.#waiting.shift() ?? "";
      let size = Buffer.byteLength(text);
      for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
        size += Buffer.byteLength(next);
        if (size > WRITE_MAX_BYTES) break;
        text += next;
        this.#waiting.shift();
      }
      this.#waitingLength -= text.length;
      this.#stream.write(text, this.#continue);
    }
    if (this.#waiting.length > 0) return;
    this.#onWritten?.();
    this.#onWritten = null;
  }
}

function ignoreError(): void {}
