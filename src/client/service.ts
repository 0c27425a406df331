import { FixityClientError } from "./errors.ts";
import type { Content, Transport, WireAnswer } from "./platform.ts";
import { errorIn } from "./problem.ts";
import type { ClientHeaders } from "./types.ts";

/** A request to the service. */
export interface ServiceRequest {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly content?: Content;
  readonly onSent?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** What a {@link Service} is made of. */
export interface ServiceOptions {
  readonly endpoint: URL;
  readonly headers: ClientHeaders;
  readonly transport: Transport;
  readonly stallTimeout: number;
}

/** The service at an endpoint: sends requests with the client's own fields, and makes errors of what is no success. */
export class Service {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly #origin: string;
  readonly #headers: ClientHeaders;
  readonly #transport: Transport;
  readonly #stallTimeout: number;

  constructor({ endpoint, headers, transport, stallTimeout }: ServiceOptions) {
    this.endpoint = endpoint.origin + endpoint.pathname.replace(/\/+$/, "");
    this.#origin = endpoint.origin;
    this.#headers = headers;
    this.#transport = transport;
    this.#stallTimeout = stallTimeout;
  }

  /** @throws FixityClientError for every answer that is no success, and where there is none */
  async send(request: ServiceRequest): Promise<WireAnswer> {
    const { method, url, headers = {}, content = null, onSent = () => undefined, signal } = request;
    const own = await this.headersFor(url);
    const watch = new StallWatch(this.#stallTimeout, { total: content?.size ?? 0, signal });
    try {
      const answer = await this.#transport({
        method,
        url,
        headers: { Accept: "application/json", ...own, ...headers },
        content,
        onSent: (bytes) => {
          watch.moved(bytes);
          onSent(bytes);
        },
        signal: watch.signal,
      });
      if (answer.status >= 200 && answer.status < 300) return answer;
      throw errorIn(answer);
    } catch (error) {
      throw signal.aborted ? abortion(signal) : asClientError(error);
    } finally {
      watch.end();
    }
  }

  /** The client's own fields, which no other origin gets to see. */
  async headersFor(url: string): Promise<Readonly<Record<string, string>>> {
    if (new URL(url).origin !== this.#origin) return {};
    return typeof this.#headers === "function" ? await this.#headers() : this.#headers;
  }
}

/** Ends a request of which no byte is sent for too long: not before its first, and not after its last. */
class StallWatch {
  readonly #controller = new AbortController();
  readonly #timeout: number;
  readonly #total: number;
  readonly #signal: AbortSignal;
  readonly #stop = (): void => this.#controller.abort(this.#signal.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasEnded = false;

  constructor(timeout: number, { total, signal }: { readonly total: number; readonly signal: AbortSignal }) {
    this.#timeout = timeout;
    this.#total = total;
    this.#signal = signal;
    if (signal.aborted) this.#stop();
    else signal.addEventListener("abort", this.#stop);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  moved(bytes: number): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded || bytes >= this.#total) return;
    this.#timer = setTimeout(() => this.#controller.abort(), this.#timeout);
  }

  end(): void {
    this.#hasEnded = true; // the content may still be read for a moment
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#stop);
  }
}

/** The error of an upload or download that was stopped. */
export function abortion(signal: AbortSignal): FixityClientError {
  const { reason } = signal;
  if (reason instanceof FixityClientError) return reason;
  return new FixityClientError("aborted", "This was stopped before it was complete.", { cause: reason });
}

/** `error` itself, or a failure of the network. */
export function asClientError(error: unknown): FixityClientError {
  if (error instanceof FixityClientError) return error;
  return new FixityClientError("network-error", "The connection to the server failed.", {
    cause: error,
    retryable: true,
  });
}
