import { assertReadable } from "../fetch-transport.ts";
import type { Content, Transport, WireAnswer, WireRequest } from "../platform.ts";
import { ANSWER_MAX_BYTES, tooLong } from "../answers.ts";
import { type BrowserRequest, browser } from "./globals.ts";

/** Bytes of content up to which a request that must not follow redirects goes by `fetch`. */
const MANUAL_REDIRECT_MAX_BYTES = 1024 * 1024;

/**
 * Requests with content by `XMLHttpRequest`, which reports how much of it is sent; `fetch` does not. `XMLHttpRequest`
 * always follows redirects: where that must not happen, small content goes by `others`. Larger content goes to an upload
 * that a request by `others` has created, so the endpoint does not redirect.
 */
export function xhrTransport(others: Transport): Transport {
  const { XMLHttpRequest } = browser;
  if (XMLHttpRequest === undefined) return others;
  return (request) => {
    const { content, redirect } = request;
    const isByFetch = content === null || (redirect === "manual" && content.size <= MANUAL_REDIRECT_MAX_BYTES);
    // the platform of browsers has no other content
    return isByFetch
      ? others(request)
      : send(new XMLHttpRequest(), { ...request, content: content as unknown as Blob });
  };
}

interface BlobRequest extends Omit<WireRequest, "content"> {
  readonly content: Blob;
}

function send(
  xhr: BrowserRequest,
  { method, url, headers, content, onSent, signal }: BlobRequest,
): Promise<WireAnswer> {
  return new Promise((resolve, reject) => {
    const abort = (): void => xhr.abort();
    const failed = (): void => {
      signal.removeEventListener("abort", abort);
      const failure = new Error("The request failed, or was aborted.");
      if (signal.aborted) return reject(failure);
      assertReadable(content as unknown as Content).then(() => reject(failure), reject);
    };
    xhr.open(method, url);
    xhr.responseType = "text";
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.addEventListener("progress", ({ loaded }) => onSent(loaded));
    xhr.addEventListener("progress", ({ loaded }) => {
      if (loaded <= ANSWER_MAX_BYTES) return;
      reject(tooLong(xhr.status));
      xhr.abort();
    });
    xhr.addEventListener("error", failed);
    xhr.addEventListener("abort", failed);
    xhr.addEventListener("load", () => {
      signal.removeEventListener("abort", abort);
      onSent(content.size);
      resolve({ status: xhr.status, text: xhr.responseText, field: (name) => xhr.getResponseHeader(name) });
    });
    if (signal.aborted) return failed();
    signal.addEventListener("abort", abort);
    xhr.send(content);
  });
}
