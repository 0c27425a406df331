/** A proxy in front of an S3 server that counts requests. */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import type { S3Target } from "../servers/s3-target.ts";

interface CountingProxy extends AsyncDisposable {
  /** The same bucket, through the proxy. */
  readonly target: S3Target;
  /** Requests so far. */
  readonly requests: number;
}

export async function countingProxy(target: S3Target): Promise<CountingProxy> {
  const agent = new Agent({ keepAlive: true });
  let requests = 0;
  const server = createServer((incoming, outgoing) => {
    requests += 1;
    // The signature covers the host that the client sees, so the field passes unchanged.
    const { expect: _, ...headers } = incoming.headers;
    const { hostname, port } = new URL(target.endpoint);
    const upstream = request({
      hostname,
      port,
      agent,
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      headers,
    });
    upstream.once("response", (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.rawHeaders);
      pipeline(response, outgoing).catch(() => null);
    });
    pipeline(incoming, upstream).catch(() => outgoing.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    target: { ...target, endpoint: `http://127.0.0.1:${port}` },
    get requests() {
      return requests;
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
