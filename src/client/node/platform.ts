import { fetchTransport, type FetchBody } from "../fetch-transport.ts";
import type { Content, Platform } from "../platform.ts";
import type { ClientOptions } from "../types.ts";
import { BytesContent } from "./bytes-content.ts";
import { CountedContent } from "./counted-content.ts";
import { openFile } from "./content.ts";
import { httpTransport } from "./http-transport.ts";
import { nodeHashing } from "./node-hashing.ts";

/** Node. There is always a network, and nothing is remembered unless it is said where. */
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
    join: (chunks) => new BytesContent(joined(chunks)),
    openFile,
  };
}

function joined(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}

/** `fetch` of Node takes an iterable, too. */
function bodyOf(content: Content, onSent: (bytes: number) => void): FetchBody {
  if (content instanceof BytesContent && content.isShort) return { body: content.bytes };
  const body = new CountedContent(content, onSent);
  return {
    body,
    duplex: "half",
    headers: { "Content-Length": String(content.size) },
    failed: body.failed,
  };
}
