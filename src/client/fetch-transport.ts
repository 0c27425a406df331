import type { Content, Transport, WireAnswer } from "./platform.ts";

/** How `fetch` is used. */
export interface FetchTransportOptions {
  readonly fetch: typeof globalThis.fetch;
  /**
   * What of a content is given to `fetch`, and whether that tells by itself how much of it has been sent.
   */
  readonly bodyOf: (content: Content, onSent: (bytes: number) => void) => FetchBody;
}

/** A body, and the fields and options that it needs. */
export interface FetchBody {
  readonly body: NonNullable<RequestInit["body"]>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly duplex?: "half";
  /** What reading the content has failed with. */
  readonly failure?: () => unknown;
}

/** Requests by `fetch`. */
export function fetchTransport({ fetch, bodyOf }: FetchTransportOptions): Transport {
  return async ({ method, url, headers, content, onSent, signal, redirect }) => {
    const sending = content === null ? null : bodyOf(content, onSent);
    try {
      const response = await fetch(url, {
        method,
        signal,
        redirect,
        headers: { ...headers, ...sending?.headers },
        // an answer of long ago does not tell what the server has now
        cache: "no-store",
        // cookies are not used, and would need more of CORS
        credentials: "same-origin",
        ...(sending !== null && { body: sending.body }),
        ...(sending?.duplex !== undefined && { duplex: sending.duplex }),
      });
      if (content !== null) onSent(content.size);
      return answerOf(response, await response.text());
    } catch (error) {
      throw sending?.failure?.() ?? error;
    }
  };
}

function answerOf({ status, headers }: Response, text: string): WireAnswer {
  return { status, text, field: (name) => headers.get(name) };
}
