import { asClientError, abortError, FixityClientError } from "./errors.ts";
import { headOf } from "./fetch-transport.ts";
import type { Content, Platform, WireResponse } from "./platform.ts";
import { errorIn } from "./responses.ts";
import type { ClientHeaders } from "./types.ts";

type Fields = Readonly<Record<string, string>>;

/** Redirects that one request follows. */
const MAX_REDIRECTS = 5;

const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Fields that a browser may keep while it follows a redirect by itself: it removes `Authorization`
 * when the origin changes (Fetch, HTTP-redirect fetch), and the others hold no secret. Every other
 * field would reach the target.
 */
const SAFE_WHEN_FOLLOWED: ReadonlySet<string> = new Set([
  "accept",
  "accept-language",
  "authorization",
  "content-language",
]);

/** A request to the service. */
export interface ServiceRequest {
  readonly method: string;
  readonly url: string;
  readonly headers?: Fields;
  readonly content?: Content;
  readonly onSent?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * The URL of the service. A relative one is resolved against the page. A page that is rendered on a
 * server creates its client there, too, but sends nothing: so it fails at the first request only.
 */
export class Endpoint {
  readonly #text: string;
  readonly #url: URL | null;

  /** @throws FixityClientError `invalid-option` for what is no http(s) URL in any page */
  constructor(text: string, base: string | undefined) {
    this.#text = text;
    this.#url = URL.parse(text, base);
    const inPage = this.#url ?? URL.parse(text, "http://page.invalid");
    if (inPage !== null && text !== "" && /^https?:$/.test(inPage.protocol)) return;
    const detail = `endpoint must be the http(s) URL of a service's uploads, not ${JSON.stringify(text)}.`;
    throw new FixityClientError("invalid-option", detail);
  }

  /** @throws FixityClientError `invalid-option` */
  get url(): URL {
    if (this.#url !== null) return this.#url;
    const problem = `The endpoint ${JSON.stringify(this.#text)} is relative, and there is no page to resolve it against.`;
    const advice = "Outside of browsers, pass an absolute URL such as https://files.example.com/uploads.";
    throw new FixityClientError("invalid-option", `${problem} ${advice}`);
  }
}

export interface ServiceOptions {
  readonly endpoint: Endpoint;
  readonly headers: ClientHeaders;
  readonly platform: Pick<Platform, "transport" | "fetch" | "showsRedirects">;
  /** Milliseconds. */
  readonly stallTimeout: number;
}

/** One exchange of a request that may be redirected. */
interface Hop {
  readonly url: string;
  /** The `headers` of the client, if they may be sent to this URL. */
  readonly own: Fields;
  readonly redirect: "manual" | "follow";
}

/**
 * The service at an endpoint. Sends requests with the client's own fields, and turns every
 * unsuccessful response into an error.
 *
 * The client's fields (`headers`) may be secrets, so only the endpoint's origin receives them.
 * Redirects of `GET` and `HEAD` are followed here, one at a time, with the fields that belong to
 * each URL. A redirect of any other request is an error. Browsers hide the target of a redirect, and
 * forward most fields to it if they follow it themselves. So in browsers a request with such fields
 * is first sent with `redirect: "manual"`, and if it is redirected, sent again without them.
 */
export class Service {
  readonly #endpoint: Endpoint;
  readonly #headers: ClientHeaders;
  readonly #platform: ServiceOptions["platform"];
  readonly #stallTimeout: number;

  constructor({ endpoint, headers, platform, stallTimeout }: ServiceOptions) {
    this.#endpoint = endpoint;
    this.#headers = headers;
    this.#platform = platform;
    this.#stallTimeout = stallTimeout;
  }

  /** Without a slash at its end. @throws FixityClientError `invalid-option` outside of a page */
  get endpoint(): string {
    const { origin, pathname } = this.#endpoint.url;
    return origin + pathname.replace(/\/+$/, "");
  }

  /** @throws FixityClientError for every unsuccessful response, and if there was none */
  async send(request: ServiceRequest): Promise<WireResponse> {
    const { method, url, headers = {}, content = null, onSent = () => undefined, signal } = request;
    const watch = new StallWatch(this.#stallTimeout, { total: content?.size ?? 0, signal });
    try {
      const response = await this.#follow(method, url, (hop) =>
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
      if (response.status >= 200 && response.status < 300) return response;
      throw errorIn(response);
    } catch (error) {
      throw signal.aborted ? abortError(signal) : asClientError(error);
    } finally {
      watch.end();
    }
  }

  /**
   * Sends a `GET` whose body is read as it arrives, whatever the status. Rejects with the errors of
   * `fetch`.
   */
  async open(url: string, headers: Fields, signal: AbortSignal): Promise<Response> {
    const { response } = await this.#follow("GET", url, async ({ url, own, redirect }) => {
      const response = await this.#platform.fetch(url, { headers: { ...own, ...headers }, signal, redirect });
      return { ...headOf(response), response, discard: () => void response.body?.cancel().catch(() => null) };
    });
    return response;
  }

  async #follow<Answer extends Omit<WireResponse, "text"> & { readonly discard?: () => void }>(
    method: string,
    from: string,
    exchange: (hop: Hop) => Promise<Answer>,
  ): Promise<Answer> {
    const isRead = method === "GET" || method === "HEAD";
    let url = from;
    for (let hops = 0; ; hops++) {
      const own = await this.#headersFor(url);
      const isManual = this.#platform.showsRedirects || needManualRedirects(own);
      const response = await exchange({ url, own, redirect: isManual ? "manual" : "follow" });
      const { status, field } = response;
      if (status === 0 && !isRead) {
        const detail = "The service redirects uploads to another address: use that address as the endpoint.";
        throw new FixityClientError("unexpected-answer", detail);
      }
      if (status === 0) return exchange({ url, own: safeWhenFollowed(own), redirect: "follow" });
      const next = isRead && hops < MAX_REDIRECTS ? redirectTarget(url, status, field("location")) : null;
      if (next === null) return response;
      response.discard?.();
      url = next;
    }
  }

  /**
   * The client's own fields for a URL: none for another origin.
   *
   * @throws FixityClientError `headers-failed`, `invalid-option`: neither is a failure of the
   *   network, so nothing is retried
   */
  async #headersFor(url: string): Promise<Fields> {
    if (new URL(url).origin !== this.#endpoint.url.origin) return {};
    const fields = typeof this.#headers === "function" ? await callHeaders(this.#headers) : this.#headers;
    try {
      const trimmed = Object.entries(fields).map(([name, value]) => [name, value.trim()] as const);
      void new Headers(trimmed.map((field) => [...field])); // throws for what HTTP does not allow
      return Object.fromEntries(trimmed);
    } catch (cause) {
      // the detail must not show the value, which may be a secret
      const detail = "headers must be an object of header fields, with names and values that HTTP allows.";
      throw new FixityClientError("invalid-option", detail, { cause });
    }
  }
}

async function callHeaders(headers: () => Fields | Promise<Fields>): Promise<Fields> {
  try {
    return await headers();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FixityClientError("headers-failed", `The headers function failed: ${reason}`, { cause });
  }
}

/**
 * Aborts a request that sends no byte for too long, between its first byte and its last.
 */
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
    this.#hasEnded = true; // the transport may report more bytes after the response
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#stop);
  }
}

/**
 * The target of a redirect; `null` for any other response.
 *
 * @throws FixityClientError `unexpected-answer` for a target that must not be followed
 */
export function redirectTarget(from: string, status: number, location: string | null): string | null {
  if (!REDIRECT_STATUSES.has(status) || location === null) return null;
  return resolveLocation(location, from, status);
}

/**
 * Makes a URL that the server names absolute.
 *
 * @throws FixityClientError `unexpected-answer` if it is no http(s) URL, or leaves https for http
 */
export function resolveLocation(location: string, from: string, status: number): string {
  const target = URL.parse(location, from);
  const isHttp = target !== null && /^https?:$/.test(target.protocol);
  if (isHttp && !(from.startsWith("https:") && target.protocol === "http:")) return target.href;
  const shown = JSON.stringify(location.slice(0, 200));
  const reason = isHttp ? "which would leave https for http" : "which is no http(s) URL";
  throw new FixityClientError("unexpected-answer", `The server refers to ${shown}, ${reason}.`, { status });
}

/** Whether a browser that follows a redirect would send one of these fields to another origin. */
export function needManualRedirects(fields: Fields): boolean {
  return Object.keys(fields).some((name) => !SAFE_WHEN_FOLLOWED.has(name.toLowerCase()));
}

/** The fields that a browser keeps from other origins by itself. */
export function safeWhenFollowed(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => SAFE_WHEN_FOLLOWED.has(name.toLowerCase())));
}
