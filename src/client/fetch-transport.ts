import { sourceChanged } from "./errors.ts";
import type { Content, Transport, WireResponse } from "./platform.ts";
import { RESPONSE_MAX_BYTES, responseTooLong } from "./responses.ts";

/** A request body for `fetch`, with the header fields and options that it needs. */
export interface FetchBody {
  readonly body: NonNullable<RequestInit["body"]>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly duplex?: "half";
  /** Rejects with a `FixityClientError` when the content cannot be read. */
  readonly failed?: Promise<never>;
}

export interface FetchTransportOptions {
  readonly fetch: typeof globalThis.fetch;
  /** Turns content into a body, which may report how much of it has been sent. */
  readonly bodyOf: (content: Content, onSent: (bytes: number) => void) => FetchBody;
}

/** Sends requests by `fetch`. */
export function fetchTransport({ fetch, bodyOf }: FetchTransportOptions): Transport {
  return async ({ method, url, headers, content, onSent, signal, redirect }) => {
    const sending = content === null ? null : bodyOf(content, onSent);
    try {
      const responding = fetch(url, {
        method,
        signal,
        redirect,
        headers: { ...headers, ...sending?.headers },
        // a cached response does not report what the server has now
        cache: "no-store",
        // the service uses no cookies, and with them CORS would need more fields
        credentials: "same-origin",
        ...(sending !== null && { body: sending.body }),
        ...(sending?.duplex !== undefined && { duplex: sending.duplex }),
      });
      const response = await (sending?.failed === undefined ? responding : Promise.race([sending.failed, responding]));
      if (content !== null) onSent(content.size);
      return { ...headOf(response), text: await textOf(response) };
    } catch (error) {
      if (content !== null && !signal.aborted) await assertUnchanged(content);
      throw error;
    }
  };
}

/** A response without its text. */
export function headOf({ status, headers }: Response): Omit<WireResponse, "text"> {
  return { status, field: (name) => headers.get(name) };
}

/**
 * Reads the text of a response.
 *
 * @throws FixityClientError `unexpected-answer` if it exceeds {@link RESPONSE_MAX_BYTES}
 */
export async function textOf({ body, status }: Response): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length;
    if (size > RESPONSE_MAX_BYTES) {
      void reader.cancel().catch(() => null);
      throw responseTooLong(status);
    }
    text += decoder.decode(next.value, { stream: true });
  }
  return text + decoder.decode();
}

/**
 * Reads the first bytes of a content to find out whether its file has changed or disappeared.
 * Browsers compare the file's modification time at every read, so the first read suffices. It must
 * read the very object that was sent: a new slice may refer to the file as it is now. After a failed
 * request this distinguishes a change from a broken connection, which browsers report alike.
 *
 * @throws FixityClientError `source-changed`
 */
export async function assertUnchanged(content: Content): Promise<void> {
  try {
    // Blobs are not iterable in all browsers. An empty one is read, too: Chromium reports size 0
    // for a file that is gone.
    if (content instanceof Blob) await readFirst(content.stream());
    else for await (const _chunk of content.stream()) return;
  } catch (cause) {
    throw sourceChanged(cause);
  }
}

async function readFirst(stream: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stream.getReader();
  await reader.read();
  await reader.cancel();
}
