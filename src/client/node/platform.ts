import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { abortError, sourceChanged } from "../errors.ts";
import { type FetchBody, fetchTransport } from "../fetch-transport.ts";
import type { Content, Hashing, Platform } from "../platform.ts";
import type { ClientOptions } from "../types.ts";
import { BytesContent, openBlob, openFile, RequestBody } from "./content.ts";
import { httpTransport } from "./http-transport.ts";

/** Node. It counts as always online, and remembers no uploads by default. */
export function nodePlatform(options: ClientOptions): Platform {
  const fetch = options.fetch ?? globalThis.fetch;
  return {
    base: undefined,
    fetch,
    showsRedirects: true,
    transport: options.fetch === undefined ? httpTransport : fetchTransport({ fetch, bodyOf }),
    hashing: nodeHashing,
    storage: null,
    network: { isOnline: () => true, onOnline: () => undefined },
    endingGraceMs: 0,
    concat,
    openFile,
    openBlob,
  };
}

function concat(chunks: readonly Uint8Array<ArrayBuffer>[]): BytesContent {
  const [only] = chunks;
  return new BytesContent(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
}

/** Node's `fetch` accepts an iterable as the body. */
function bodyOf(content: Content, onSent: (bytes: number) => void): FetchBody {
  if (content instanceof BytesContent && content.isShort) return { body: content.bytes };
  const body = new RequestBody(content, onSent);
  return {
    body,
    duplex: "half",
    headers: { "Content-Length": String(content.size) },
    failed: body.failed,
  };
}

/**
 * SHA-256 on the main thread, between the reads of the file: at 1 GB/s and more, one chunk delays
 * nothing noticeably.
 */
export const nodeHashing: Hashing = {
  async digest(content, { signal, onHashed }) {
    const hash = createHash("sha256");
    if (content instanceof BytesContent && content.isShort) return hash.update(content.bytes).digest("hex");
    let hashed = 0;
    try {
      for await (const chunk of content.stream()) {
        if (signal.aborted) throw abortError(signal);
        hash.update(chunk);
        hashed += chunk.length;
        onHashed(hashed);
        // reads from memory resolve at once, and would let nothing else run until the end
        await setImmediate();
      }
    } catch (cause) {
      throw sourceChanged(cause);
    }
    return hash.digest("hex");
  },
  incremental() {
    const hash = createHash("sha256");
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex"), drop: () => undefined };
  },
  close: () => undefined,
};
