import type { Logger } from "pino";
import type { Answer, Exchange } from "../http/exchange.ts";
import type { Report } from "../http/options.ts";
import { loggedPath } from "./log.ts";

/** One line for each exchange of the service: faults of our own as errors, everything else as information. */
export function logExchanges(log: Logger): (exchange: Exchange, answer: Answer, report: Report) => void {
  return (exchange, { status, note }, report) => {
    const { error, ...facts } = note ?? {};
    const entry = {
      id: exchange.id,
      method: exchange.method,
      path: loggedPath(exchange.target),
      status,
      ...facts,
      ms: Math.round(report.durationMs * 10) / 10,
      ...(report.bytesReceived > 0 && { received: report.bytesReceived }),
      ...(report.bytesSent > 0 && { sent: report.bytesSent }),
      ...(report.aborted && { aborted: true }),
      ...(error !== undefined && "code" in error && { code: error.code }),
    };
    if (status >= 500) log.error({ ...entry, err: error?.cause ?? error }, "failed");
    else log.info(entry, "answered");
  };
}
