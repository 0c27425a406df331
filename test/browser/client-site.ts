import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A site whose page has the client, under a Content-Security-Policy as strict as possible. */
export interface ClientSite extends AsyncDisposable {
  readonly port: number;
  /** Whether the site serves the worker's script. */
  hasWorker: boolean;
}

/** The policy of the page: scripts and a worker from its origin, requests to services on this machine, and nothing else. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; worker-src 'self'; img-src data: blob:; connect-src http://127.0.0.1:*";
/** The policy of the worker, which compiles WebAssembly. */
const WORKER_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";

const PAGE =
  '<!doctype html><meta charset="utf-8"><title>site</title><link rel="icon" href="data:,"><input type="file" id="file" multiple>';

const CLIENT_PAGE = new URL("client-page.ts", import.meta.url);
const WORKER = new URL("../../src/client/hash-worker.ts", import.meta.url);

/**
 * @param module the page's script
 * @param directives are added to the page's policy
 */
export async function openClientSite(module: URL = CLIENT_PAGE, directives = ""): Promise<ClientSite> {
  const pagePolicy = `${PAGE_POLICY}; ${directives}`;
  const script = await moduleOf(module);
  const worker = await moduleOf(WORKER);
  const server = createServer((request, response) => {
    const files: Record<string, readonly [type: string, policy: string, text: string]> = {
      "/": ["text/html", pagePolicy, `${PAGE}<script type="module" src="/script.js"></script>`],
      "/script.js": ["text/javascript", PAGE_POLICY, script],
      ...(site.hasWorker && { "/client/hash-worker.js": ["text/javascript", WORKER_POLICY, worker] as const }),
    };
    const [type, policy, text] = files[request.url ?? ""] ?? ["text/plain", PAGE_POLICY, ""];
    response.writeHead(text === "" ? 404 : 200, { "Content-Type": type, "Content-Security-Policy": policy }).end(text);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const site: ClientSite = {
    port: (server.address() as AddressInfo).port,
    hasWorker: true,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return site;
}

async function moduleOf(module: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(module)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    // as the published files are compiled: WebKit does not know `using`
    target: "es2024",
  });
  return outputFiles[0]?.text ?? "";
}
