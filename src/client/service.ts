import { FixityClientError } from "./errors.ts";
import type { Content, Platform, WireAnswer } from "./platform.ts";
import { errorIn } from "./answers.ts";
import { MAX_REDIRECTS, needManualRedirects, redirectTarget, safeWhenFollowed } from "./redirects.ts";
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
  readonly platform: Pick<Platform, "transport" | "fetch" | "showsRedirects">;
  readonly stallTimeout: number;
}

/** One request of those that a redirect makes of a question. */
interface Hop {
  readonly url: string;
  /** The client's own fields for this URL. */
  readonly own: Readonly<Record<string, string>>;
  readonly redirect: "manual" | "follow";
}

/** The part of a response that says whether it is a redirect. */
interface ResponseHead {
  readonly status: number;
  readonly field: (name: string) => string | null;
}

/**
 * The service at an endpoint: sends requests with the client's own fields, and makes errors of what is no success.
 *
 * The client's fields (`headers`) may be secrets, so only the endpoint's origin receives them. Redirects of `GET` and
 * `HEAD` are followed here, one at a time, with the fields that belong to each URL. A redirect of any other request is an
 * error. Browsers hide where a redirect leads: there, a request with fields that a browser would pass on is first sent
 * with `redirect: "manual"`, and after a redirect once more without them.
 */
export class Service {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly #origin: string;
  readonly #headers: ClientHeaders;
  readonly #platform: ServiceOptions["platform"];
  readonly #stallTimeout: number;

  constructor({ endpoint, headers, platform, stallTimeout }: ServiceOptions) {
    this.endpoint = endpoint.origin + endpoint.pathname.replace(/\/+$/, "");
    this.#origin = endpoint.origin;
    this.#headers = headers;
    this.#platform = platform;
    this.#stallTimeout = stallTimeout;
  }

  /** @throws FixityClientError for every answer that is no success, and where there is none */
  async send(request: ServiceRequest): Promise<WireAnswer> {
    const { method, url, headers = {}, content = null, onSent = () => undefined, signal } = request;
    const watch = new StallWatch(this.#stallTimeout, { total: content?.size ?? 0, signal });
    try {
      const answer = await this.#follow(method, url, (hop) =>
        this.#platform.transport({
          method,
          url: hop.url,
          headers: { Accept: "application/json", ...hop.own, ...headers },
          content,
          onSent: (bytes) => {
            watch.moved(bytes);
            onSent(bytes);
          },
          signal: watch.signal,
          redirect: hop.redirect,
        }),
      );
      if (answer.status >= 200 && answer.status < 300) return answer;
      throw errorIn(answer);
    } catch (error) {
      throw signal.aborted ? abortion(signal) : asClientError(error);
    } finally {
      watch.end();
    }
  }

  /** Sends a `GET` whose response is read as it comes, whatever its status. Rejects with what `fetch` rejects with. */
  async open(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> {
    const answer = await this.#follow("GET", url, async ({ url, own, redirect }) => {
      const response = await this.#platform.fetch(url, { headers: { ...own, ...headers }, signal, redirect });
      const field = (name: string): string | null => response.headers.get(name);
      return {
        status: response.status,
        field,
        response,
        discard: () => void response.body?.cancel().catch(() => null),
      };
    });
    return answer.response;
  }

  async #follow<Answer extends ResponseHead & { readonly discard?: () => void }>(
    method: string,
    from: string,
    exchange: (hop: Hop) => Promise<Answer>,
  ): Promise<Answer> {
    const isQuestion = method === "GET" || method === "HEAD";
    let url = from;
    for (let hops = 0; ; hops++) {
      const own = await this.#headersFor(url);
      const isManual = this.#platform.showsRedirects || needManualRedirects(own);
      const answer = await exchange({ url, own, redirect: isManual ? "manual" : "follow" });
      const { status, field } = answer;
      if (status === 0 && !isQuestion) throw redirected();
      if (status === 0) return exchange({ url, own: safeWhenFollowed(own), redirect: "follow" });
      const next = isQuestion && hops < MAX_REDIRECTS ? redirectTarget(url, status, field("location")) : null;
      if (next === null) return answer;
      answer.discard?.();
      url = next;
    }
  }

  /** The client's own fields for a URL: none for another origin. */
  async #headersFor(url: string): Promise<Readonly<Record<string, string>>> {
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

/** A browser shows no more of a redirect than that it is one. */
function redirected(): FixityClientError {
  const detail = "The service redirects uploads to another address: use that address as the endpoint.";
  return new FixityClientError("unexpected-answer", detail);
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
