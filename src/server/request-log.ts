import type { Logger } from "pino";
import type { Answer, Exchange } from "../http/exchange.ts";
import type { Report } from "../http/options.ts";
import { loggedPath } from "./log.ts";

/** A request that has been answered. */
export interface Answered {
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly durationMs: number;
  /** What failed. */
  readonly error: Error | undefined;
  /** What else there is to tell. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Writes one line for each request: faults of the server as errors, with their cause, everything else at `level`. */
export function logAnswered(log: Logger, answered: Answered, level: "info" | "debug" = "info"): void {
  const { id, method, target, status, durationMs, error, facts } = answered;
  const entry = {
    id,
    method,
    path: loggedPath(target),
    status,
    ms: Math.round(durationMs * 10) / 10,
    ...facts,
    ...(error !== undefined && "code" in error && { code: error.code }),
  };
  if (status >= 500 && !isExpected(error)) log.error({ ...entry, err: error?.cause ?? error }, "failed");
  else log[level](entry, "answered");
}

/** Failures with a status of 500 and above that are no fault of the server: what they need is in the line. */
function isExpected(error: Error | undefined): boolean {
  if (error === undefined || !("code" in error)) return false;
  // a stop that was asked for is no fault, but what it could not save is
  if (error.code === "shutting-down") return error.cause === undefined;
  return error.code === "unsupported-transfer-coding" || error.code === "too-many-uploads";
}

/** Logs the exchanges of the service. */
export function logExchanges(log: Logger): (exchange: Exchange, answer: Answer, report: Report) => void {
  return ({ id, method, target }, { status, note }, { durationMs, bytesReceived, bytesSent, aborted }) => {
    const { error, ...facts } = note ?? {};
    const more = {
      ...facts,
      ...(bytesReceived > 0 && { received: bytesReceived }),
      ...(bytesSent > 0 && { sent: bytesSent }),
      ...(aborted && { aborted }),
    };
    logAnswered(log, { id, method, target, status, durationMs, error, facts: more });
  };
}
