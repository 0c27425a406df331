import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";

/** A site of another origin than the service, whose one page runs one script. */
export interface OtherSite extends AsyncDisposable {
  readonly origin: string;
}

/** Serves a page with a file input and a script. */
export async function openSite(script: string): Promise<OtherSite> {
  const page = '<!doctype html><meta charset="utf-8"><title>site</title><input type="file" id="file" multiple>';
  const server = createServer((request, response) => {
    const isScript = request.url === "/script.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : `${page}<script src="/script.js"></script>`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A module with all that it imports, as one script for a page. */
export async function bundled(path: string): Promise<string> {
  const { outputFiles } = await build({ entryPoints: [path], bundle: true, write: false, platform: "browser" });
  return outputFiles[0]?.text ?? "";
}
