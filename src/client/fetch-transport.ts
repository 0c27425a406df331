import { sourceChanged } from "./errors.ts";
import { ANSWER_MAX_BYTES, tooLong } from "./answers.ts";
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
  /** Rejects with a FixityClientError when the content cannot be read. */
  readonly failed?: Promise<never>;
}

/** Requests by `fetch`. */
export function fetchTransport({ fetch, bodyOf }: FetchTransportOptions): Transport {
  return async ({ method, url, headers, content, onSent, signal, redirect }) => {
    const sending = content === null ? null : bodyOf(content, onSent);
    try {
      const responding = fetch(url, {
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
      const response = await (sending?.failed === undefined ? responding : Promise.race([sending.failed, responding]));
      if (content !== null) onSent(content.size);
      return answerOf(response, await textOf(response));
    } catch (error) {
      if (content !== null && !signal.aborted) await assertReadable(content);
      throw error;
    }
  };
}

/** The text of a response. @throws FixityClientError `unexpected-answer` if it is longer than answers are */
export async function textOf({ body, status }: Response): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length;
    if (size > ANSWER_MAX_BYTES) {
      void reader.cancel().catch(() => null);
      throw tooLong(status);
    }
    text += decoder.decode(next.value, { stream: true });
  }
  return text + decoder.decode();
}

/**
 * After a request with content has failed: whether that is because the content cannot be read any more. Browsers report
 * both in the same way. They compare the file's time at every read, so the first one is enough; it must be one of the very
 * object that was sent, since a slice of it may be of the file as it is now.
 *
 * @throws FixityClientError `source-changed`
 */
export async function assertReadable(content: Content): Promise<void> {
  try {
    // whatever its size: Chromium reports 0 for a file that is gone; and not iterable in all browsers
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

function answerOf({ status, headers }: Response, text: string): WireAnswer {
  return { status, text, field: (name) => headers.get(name) };
}
