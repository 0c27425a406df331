import { assertUnchanged } from "../fetch-transport.ts";
import type { Content, Transport, WireRequest, WireResponse } from "../platform.ts";
import { RESPONSE_MAX_BYTES, responseTooLong } from "../responses.ts";
import { type BrowserRequest, browser } from "./globals.ts";

/** Content up to this size goes by `fetch` if its request must not follow redirects. */
const MANUAL_REDIRECT_MAX_BYTES = 1024 * 1024;

/**
 * Sends content by `XMLHttpRequest`, which reports how much of it is sent; `fetch` does not.
 * `XMLHttpRequest` always follows redirects: if that must not happen, small content goes by
 * `byFetch`. Larger content goes to an upload that a request by `byFetch` has created, so the
 * endpoint does not redirect.
 */
export function xhrTransport(byFetch: Transport): Transport {
  const { XMLHttpRequest } = browser;
  if (XMLHttpRequest === undefined) return byFetch;
  return (request) => {
    const { content, redirect } = request;
    if (content === null || (redirect === "manual" && content.size <= MANUAL_REDIRECT_MAX_BYTES)) {
      return byFetch(request);
    }
    // in browsers all content is in blobs
    return send(new XMLHttpRequest(), { ...request, content: content as unknown as Blob });
  };
}

interface BlobRequest extends Omit<WireRequest, "content"> {
  readonly content: Blob;
}

function send(
  xhr: BrowserRequest,
  { method, url, headers, content, onSent, signal }: BlobRequest,
): Promise<WireResponse> {
  return new Promise((resolve, reject) => {
    const abort = (): void => xhr.abort();
    const failed = (): void => {
      signal.removeEventListener("abort", abort);
      const failure = new Error("The request failed or was aborted.");
      if (signal.aborted) return reject(failure);
      assertUnchanged(content as unknown as Content).then(() => reject(failure), reject);
    };
    xhr.open(method, url);
    xhr.responseType = "text";
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.addEventListener("progress", ({ loaded }) => onSent(loaded));
    xhr.addEventListener("progress", ({ loaded }) => {
      if (loaded <= RESPONSE_MAX_BYTES) return;
      reject(responseTooLong(xhr.status));
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
