import type { RemoteLink } from "./remote.ts";

const PAGE_MAX_BYTES = 1024 * 1024;
const PAGE_TIMEOUT_MS = 30_000;

/**
 * The link to a file's bytes, from a signed link to the page about it. The signature covers `view`,
 * so the bytes have a link of their own, which the page contains. Other links, and those whose page
 * cannot be read, are returned as they are, without `view`.
 */
export async function withoutPage(link: RemoteLink, signal: AbortSignal): Promise<RemoteLink> {
  if (!link.url.searchParams.has("view")) return link;
  // A signature covers the spelling of the query, which a change of `searchParams` would alter.
  const found = await linkInPage(link, signal);
  if (found !== null) return { ...link, url: found };
  const url = new URL(link.url);
  url.searchParams.delete("view");
  return { ...link, url };
}

async function linkInPage({ url, headers }: RemoteLink, signal: AbortSignal): Promise<URL | null> {
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(PAGE_TIMEOUT_MS)]);
    const response = await fetch(url.href, { headers, redirect: "error", signal: within });
    const page = await textOf(response);
    for (const [, text = ""] of page.matchAll(/(?:href|src)="([^"]*[?;]signature=[^"]*)"/g)) {
      const found = URL.parse(text.replaceAll("&amp;", "&"), url.href);
      if (found?.origin === url.origin && found.pathname === url.pathname && !found.searchParams.has("view")) {
        return found;
      }
    }
    return null;
  } catch {
    // The request for the bytes meets the same failure, and reports it.
    return null;
  }
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > PAGE_MAX_BYTES) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}
