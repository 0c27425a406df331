import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { FixityError } from "../../core/errors.ts";
import type { Fixity } from "../../core/fixity.ts";
import { qualityOf } from "../../http/fields/accept.ts";
import { Metrics } from "./metrics.ts";
import { type MetricJson, metricsOf, metricsText } from "./metrics-text.ts";

// Not imported: see src/http/adapters/node.ts.
const { createServer } = process.getBuiltinModule("node:http");

const PATH = "/metrics";

/** A scraper sends small requests, and a few scrapers share a server. */
const LIMITS = { maxHeaderSize: 16 * 1024, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 60_000 };
const CONNECTIONS_MAX = 64;

/** Where metrics are served. */
export interface MetricsAddress {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
}

/** A server of metrics. Disposing of it cuts its connections. */
export interface MetricsListener extends AsyncDisposable {
  /** Such as `http://127.0.0.1:9464/metrics`. */
  readonly url: string;
}

/** Measures a service in this process until it is disposed of. */
export class Measurement implements AsyncDisposable {
  readonly #metrics: Metrics;
  #listener: MetricsListener | null = null;

  constructor(fixity: Fixity) {
    this.#metrics = new Metrics(fixity, packageVersion());
  }

  /** The metrics of the moment. */
  read(): Promise<MetricJson[]> {
    return metricsOf(this.#metrics.registry);
  }

  /**
   * Serves the metrics. @returns their URL
   *
   * @throws FixityError `invalid-option` if it cannot listen there; it is disposed of then
   */
  async listen(address: MetricsAddress): Promise<string> {
    try {
      this.#listener = await listenForMetrics(address, () => this.read());
      return this.#listener.url;
    } catch (error) {
      this.#metrics[Symbol.dispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
    this.#metrics[Symbol.dispose]();
  }
}

function packageVersion(): string {
  // The build of the package replaces this with the text.
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * Serves `GET /metrics`, and nothing else, on a port of its own.
 *
 * @param read the metrics of the moment, of this process or of several together
 * @throws FixityError `invalid-option` if it cannot listen there
 */
export async function listenForMetrics(
  { host, port }: MetricsAddress,
  read: () => Promise<readonly MetricJson[]>,
): Promise<MetricsListener> {
  const server = createServer(LIMITS, (request, response) => void answer(request, response, read));
  server.maxConnections = CONNECTIONS_MAX;
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "the port is taken" : code;
    throw new FixityError(
      "invalid-option",
      `Cannot serve metrics on ${host}, port ${port}: ${reason}. Set UPLOAD_METRICS_PORT and UPLOAD_METRICS_HOST to others.`,
      { cause },
    );
  }
  const { address, family, port: listening } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${listening}${PATH}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(
  { method, url = "", headers }: IncomingMessage,
  response: ServerResponse,
  read: () => Promise<readonly MetricJson[]>,
): Promise<void> {
  response.setHeader("Cache-Control", "no-store").setHeader("X-Content-Type-Options", "nosniff");
  if (url.split("?")[0] !== PATH) return end(response, 404, `There is nothing here but ${PATH}.\n`);
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("Allow", "GET, HEAD");
    return end(response, 405, `${PATH} is for GET.\n`);
  }
  try {
    const { contentType, text } = await metricsText(await read(), prefersOpenMetrics(headers.accept));
    response.setHeader("Vary", "Accept");
    end(response, 200, text, contentType);
  } catch {
    end(response, 500, "The metrics cannot be read at present.\n");
  }
}

function end(response: ServerResponse, status: number, text: string, contentType = "text/plain; charset=utf-8"): void {
  // A HEAD has the fields of a GET; Node sends no content in answer to it.
  response.writeHead(status, { "Content-Type": contentType, "Content-Length": Buffer.byteLength(text) }).end(text);
}

/** Prometheus asks for OpenMetrics first; a browser or curl reads plain text. */
function prefersOpenMetrics(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const quality = qualityOf("application/openmetrics-text", accept);
  return quality > 0 && /openmetrics-text/i.test(accept) && quality >= qualityOf("text/plain", accept);
}
