import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";

/** A server in front of another that has the browser report every breach of a page's policy. */
export interface ReportingProxy extends AsyncDisposable {
  readonly url: string;
  /** Paths that were asked for. */
  readonly paths: string[];
  /** What was blocked, in the order of the reports: the directive and the start of the URL or kind. */
  readonly reports: string[];
  /** Resolves when a report has come that contains this. */
  reported(text: string): Promise<void>;
}

const REPORTS = "/test-reports";

export async function startReportingProxy(target: string): Promise<ReportingProxy> {
  const paths: string[] = [];
  const reports: string[] = [];
  const waiting = new Set<() => void>();
  const take = async (incoming: IncomingMessage): Promise<void> => {
    const { "csp-report": report } = JSON.parse(Buffer.concat(await Array.fromAsync(incoming)).toString()) as {
      "csp-report": Readonly<Record<string, string>>;
    };
    reports.push(`${report["effective-directive"] ?? report["violated-directive"]} ${report["blocked-uri"]}`);
    for (const check of waiting) check();
  };
  const server = createServer((incoming, outgoing) => {
    if (incoming.url === REPORTS) {
      void take(incoming).then(() => outgoing.writeHead(204).end());
      return;
    }
    paths.push(incoming.url ?? "");
    const { method, headers } = incoming;
    const passed = request(target + incoming.url, { method, headers }, (answer) => {
      const policy = answer.headers["content-security-policy"];
      const more =
        policy === undefined ? {} : { "content-security-policy": `${String(policy)}; report-uri ${REPORTS}` };
      outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...more });
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    paths,
    reports,
    reported: (text) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!reports.some((report) => report.includes(text))) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
